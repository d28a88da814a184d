// What a reader points at, by mouse, touch or arrow keys: videos on a map, fields of a confusion matrix.
// The page reads without it. Texts are set as text, never as HTML.
"use strict";

function facts(box) {
  return JSON.parse(box.querySelector("script[type='application/json']").textContent);
}

// Where a pointer is, in the drawing's own units.
function place(svg, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [point.x, point.y];
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function nearest(places, x, y, within) {
  let found = -1, least = within * within;
  for (let i = 0; i < places.length; i += 2) {
    const distance = (places[i] - x) ** 2 + (places[i + 1] - y) ** 2;
    if (distance < least) [found, least] = [i / 2, distance];
  }
  return found;
}

// The nearest point on this side of another one; what lies aside counts as farther.
function beside(places, from, [dx, dy]) {
  let found = from, least = Infinity;
  for (let i = 0; i < places.length; i += 2) {
    const x = places[i] - places[2 * from], y = places[i + 1] - places[2 * from + 1];
    const along = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
    if (along > 0 && aside <= along && along + 2 * aside < least) [found, least] = [i / 2, along + 2 * aside];
  }
  return found;
}

for (const box of document.querySelectorAll(".maps")) {
  const { videos, places } = facts(box);
  const drawings = [...box.querySelectorAll("svg.points")];
  const card = box.querySelector(".told");
  let shown = -1;
  const show = (video, figure) => {
    shown = video;
    card.hidden = video < 0;
    drawings.forEach((svg, i) => {
      const cursor = svg.querySelector(".cursor");
      cursor.toggleAttribute("hidden", video < 0);
      if (video < 0) return;
      cursor.setAttribute("cx", places[i][2 * video]);
      cursor.setAttribute("cy", places[i][2 * video + 1]);
    });
    if (video < 0) return;
    const [name, label, picture] = videos[video];
    card.querySelector(".thumb").className = "thumb " + (picture || "blank");
    card.querySelector("p").textContent = label + ": " + name;
    figure.append(card);
    card.classList.toggle("at-left", places[drawings.indexOf(figure.querySelector("svg"))][2 * video] > 200);
  };
  drawings.forEach((svg, i) => {
    const figure = svg.parentElement;
    const point = (event, within) => show(nearest(places[i], ...place(svg, event), within), figure);
    svg.addEventListener("pointermove", (event) => event.pointerType === "mouse" && point(event, 14));
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(-1));
    svg.addEventListener("click", (event) => point(event, 28));
    svg.addEventListener("focus", () => svg.matches(":focus-visible") && shown < 0 && show(0, figure));
    svg.addEventListener("blur", () => show(-1));
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") show(-1);
      if (!(event.key in ARROWS)) return;
      event.preventDefault();
      show(shown < 0 ? 0 : beside(places[i], shown, ARROWS[event.key]), figure);
    });
  });
}

for (const box of document.querySelectorAll("figure.confusion")) {
  const { names, cells } = facts(box);
  const svg = box.querySelector("svg"), said = box.querySelector(".told"), cursor = box.querySelector(".cursor");
  const counts = new Map(), totals = new Array(names.length).fill(0);
  for (let i = 0; i < cells.length; i += 3) {
    counts.set(cells[i] * names.length + cells[i + 1], cells[i + 2]);
    totals[cells[i]] += cells[i + 2];
  }
  let at = [0, 0];
  const show = (x, y) => {
    const inside = (value) => Math.min(names.length - 1, Math.max(0, Math.floor(value)));
    at = [inside(x), inside(y)];
    cursor.removeAttribute("hidden");
    cursor.setAttribute("x", at[0]);
    cursor.setAttribute("y", at[1]);
    const number = counts.get(at[1] * names.length + at[0]) || 0;
    said.textContent = `${number} of ${totals[at[1]]} videos of ${names[at[1]]} are taken for ${names[at[0]]}`;
  };
  svg.addEventListener("pointermove", (event) => show(...place(svg, event)));
  svg.addEventListener("click", (event) => show(...place(svg, event)));
  svg.addEventListener("focus", () => svg.matches(":focus-visible") && show(...at));
  svg.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    show(at[0] + ARROWS[event.key][0], at[1] + ARROWS[event.key][1]);
  });
}
