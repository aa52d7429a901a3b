"use strict";

/* The latent plane of the explorer, for two latents: the test images as marks, the posterior of image
   A, the way from A to B, and the point that is decoded. Uses what `explorer.js` declares. */

// Ten colours that remain distinct with each kind of colour blindness: Petroff, "Accessible color
// sequences for data visualization", 2021. Shapes tell classes apart too.
const COLORS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
  "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const SHAPES = ["circle", "square", "triangle", "diamond"];

function style(label) {
  if (label < 0) return { color: "var(--unknown)", shape: "circle" };
  const turn = Math.floor(label / COLORS.length);
  return { color: COLORS[label % COLORS.length], shape: SHAPES[(label + turn) % SHAPES.length] };
}

/* Returns the outline of a mark, [x, y] of its corners; null for a circle. */
function corners(shape, x, y, size) {
  if (shape === "square") {
    const s = 0.86 * size;
    return [[x - s, y - s], [x + s, y - s], [x + s, y + s], [x - s, y + s]];
  }
  if (shape === "triangle") {
    return [[x, y - 1.2 * size], [x + 1.1 * size, y + 0.8 * size], [x - 1.1 * size, y + 0.8 * size]];
  }
  if (shape === "diamond") {
    const s = 1.25 * size;
    return [[x, y - s], [x + s, y], [x, y + s], [x - s, y]];
  }
  return null;
}

function makePlane() {
  const points = values(data.points);
  const labels = values(data.point_labels);
  const plane = $("plane");
  $("plane-section").hidden = false;
  $("posterior-help").textContent =
    posteriorScale ? "The ellipses are the posterior of image A at 1 and 2 standard deviations."
    : posteriorDraws ? "The small dots are draws from the posterior of image A." : "";

  // One scale for both axes. Single outliers would shrink everything else: the view leaves out
  // the outermost 0.2 % on every side.
  const bounds = [0, 1].map((axis) => {
    const sorted = Float32Array.from({ length: labels.length }, (_, i) => points[2 * i + axis]).sort();
    const left = Math.floor(0.002 * (sorted.length - 1));
    return [Math.min(-2, sorted[left]), Math.max(2, sorted[sorted.length - 1 - left])];
  });
  const reach = 0.53 * Math.max(...bounds.map(([low, high]) => high - low));
  const center = bounds.map(([low, high]) => (low + high) / 2);

  let side = 1;
  const toPixels = (z) => [
    (0.5 + (z[0] - center[0]) / (2 * reach)) * side,
    (0.5 - (z[1] - center[1]) / (2 * reach)) * side,
  ];
  const toLatents = (x, y) => [
    center[0] + (x / side - 0.5) * 2 * reach,
    center[1] - (y / side - 0.5) * 2 * reach,
  ];
  const keepInside = (z) => z.map((value, axis) =>
    Math.min(center[axis] + reach, Math.max(center[axis] - reach, value)));

  function drawScatter() {
    const canvas = $("scatter");
    const ratio = window.devicePixelRatio || 1;
    side = plane.clientWidth;
    canvas.width = canvas.height = Math.round(side * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const theme = getComputedStyle(document.documentElement);
    const named = (name) => theme.getPropertyValue(name).trim();
    drawGrid(context, named);
    const size = side > 500 ? 3 : 2.3;
    // In the order of the data, so that no class lies on top of all others.
    for (let i = 0; i < labels.length; i++) {
      const { color, shape } = style(labels[i]);
      const [x, y] = toPixels([points[2 * i], points[2 * i + 1]]);
      context.globalAlpha = state.alone === null || state.alone === labels[i] ? 0.75 : 0.08;
      context.fillStyle = color.startsWith("var") ? named("--unknown") : color;
      context.beginPath();
      const outline = corners(shape, x, y, size);
      if (outline) {
        outline.forEach(([a, b], k) => (k ? context.lineTo(a, b) : context.moveTo(a, b)));
      } else {
        context.arc(x, y, size, 0, 2 * Math.PI);
      }
      context.fill();
    }
    context.globalAlpha = 1;
  }

  function drawGrid(context, named) {
    const rough = (2 * reach) / 8;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    for (let axis = 0; axis < 2; axis++) {
      for (let n = Math.ceil((center[axis] - reach) / step); n * step < center[axis] + reach; n++) {
        const at = toPixels([n * step, n * step])[axis];
        context.strokeStyle = named(n === 0 ? "--line" : "--grid");
        context.beginPath();
        context.moveTo(axis ? 0 : at, axis ? at : 0);
        context.lineTo(axis ? side : at, axis ? at : side);
        context.stroke();
        context.fillStyle = named("--quiet");
        const text = String(Number((n * step).toPrecision(6))).replace("-", "\u2212");
        if (axis) context.fillText(text, 5, at - 3);
        else if (at > 30) context.fillText(text, at + 3, side - 5);
      }
    }
  }

  const overlay = $("overlay");
  function drawOverlay() {
    overlay.replaceChildren();
    overlay.setAttribute("viewBox", `0 0 ${side} ${side}`);
    const [a, b] = [state.a, state.b].map((number) => toPixels(row(imageZ, number, 2)));
    svg("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: "route" }, overlay);
    // The names are on the outer sides, so that they do not hide what is between A and B.
    [[b, "B", a], [a, "A", b]].forEach(([[x, y], name, other]) => {
      const end = svg("g", { class: "end" }, overlay);
      svg("circle", { cx: x, cy: y, r: 3.5 }, end);
      const place = Math.min(side - 10, Math.max(10, x + (x < other[0] ? -22 : 22)));
      svg("rect", { x: place - 8, y: y - 8, width: 16, height: 16, rx: 4 }, end);
      svg("text", { x: place, y }, end).textContent = name;
    });
    const [x, y] = toPixels(state.z);
    ["halo", "ring"].forEach((part) =>
      svg("circle", { cx: x, cy: y, r: 12, class: `handle-${part}` }, overlay));
    svg("circle", { cx: x, cy: y, r: 3, class: "handle-dot" }, overlay);
    drawPosterior();
  }

  function drawPosterior() {
    if (posteriorScale) {
      drawEllipse(1, "ellipse");
      drawEllipse(2, "ellipse outer");
    } else if (posteriorDraws) {
      const count = data.posteriors.draws.shape[1];
      for (let i = 0; i < count; i++) {
        const [x, y] = toPixels(row(posteriorDraws, state.a * count + i, 2));
        svg("circle", { cx: x, cy: y, r: 1.6, class: "draw" }, overlay);
      }
    }
  }

  /* The ellipse of A's posterior at so many standard deviations: the image of a circle. */
  function drawEllipse(deviations, name) {
    const scale = scaleOf(state.a);
    const loc = row(imageZ, state.a, 2);
    const outline = Array.from({ length: 73 }, (_, i) => {
      const angle = (2 * Math.PI * i) / 72;
      const circle = [deviations * Math.cos(angle), deviations * Math.sin(angle)];
      return toPixels([
        loc[0] + scale(0, 0) * circle[0],
        loc[1] + scale(1, 0) * circle[0] + scale(1, 1) * circle[1],
      ]).map((value) => value.toFixed(2)).join(",");
    });
    svg("polygon", { points: outline.join(" "), class: name }, overlay);
  }

  function follow(event) {
    const box = plane.getBoundingClientRect();
    show(keepInside(toLatents(event.clientX - box.left - plane.clientLeft,
      event.clientY - box.top - plane.clientTop)));
  }
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    follow(event);
  });
  plane.addEventListener("pointermove", (event) => {
    if (plane.hasPointerCapture(event.pointerId)) follow(event);
  });
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    if (event.key === "Home") show(resetZ);
    else if (arrows[event.key]) {
      const distance = (event.shiftKey ? 0.1 : 0.02) * reach;
      const move = arrows[event.key];
      show(keepInside(Array.from(state.z, (value, axis) => value + distance * move[axis])));
    } else return;
    event.preventDefault();
  });
  const fields = [$("z0"), $("z1")];
  fields.forEach((field) => field.addEventListener("input", () => {
    const z = fields.map((other) => other.valueAsNumber);
    if (z.every(Number.isFinite)) show(z);
  }));

  makeLegend(labels, drawScatter);
  new ResizeObserver(() => { drawScatter(); drawOverlay(); }).observe(plane);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawScatter);
  side = plane.clientWidth;
  return {
    update() {
      drawOverlay();
      fields.forEach((field, axis) => {
        if (field !== document.activeElement) field.value = state.z[axis].toFixed(2);
      });
      const [first, second] = Array.from(state.z, format);
      plane.setAttribute("aria-label", `Point in the latent plane: z0 ${first}, z1 ${second}`);
    },
  };
}

function makeLegend(labels, redraw) {
  if (!hasClasses) return;
  const present = [...new Set(labels)].sort((a, b) => (a < 0) - (b < 0) || a - b);
  present.forEach((label) => {
    const { color, shape } = style(label);
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    const mark = svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, button);
    const outline = corners(shape, 7, 7, 4.6);
    if (outline) svg("polygon", { points: outline.join(" "), style: `fill: ${color}` }, mark);
    else svg("circle", { cx: 7, cy: 7, r: 5, style: `fill: ${color}` }, mark);
    button.append(className(label));
    button.addEventListener("click", () => {
      state.alone = state.alone === label ? null : label;
      $("legend").querySelectorAll("button").forEach((other) =>
        other.setAttribute("aria-pressed", String(other === button && state.alone !== null)));
      redraw();
    });
    const item = document.createElement("li");
    item.append(button);
    $("legend").append(item);
  });
}
