"use strict";

/* The sliders of the explorer, for any other number of latents. Uses what `explorer.js` declares. */

const MOST_SLIDERS = 32;

function makeSliders() {
  $("sliders-section").hidden = false;
  const active = data.units.filter((unit) => unit.is_active);
  $("sliders-help").textContent =
    `${active.length} of ${latentDim} units are active. They are sorted by ${data.unit_measure}; ` +
    `the bars show how the test images are distributed.`;
  const first = (active.length ? active : data.units).slice(0, MOST_SLIDERS);
  const others = data.units.filter((unit) => !first.includes(unit));
  const sliders = first.map((unit) => makeSlider(unit, $("sliders")));
  if (others.length) {
    $("more").hidden = false;
    const rest = others.some((unit) => unit.is_active) ? "more" : "inactive";
    $("more").querySelector("summary").textContent =
      `${others.length} ${rest} unit${others.length === 1 ? "" : "s"}`;
    sliders.push(...others.map((unit) => makeSlider(unit, $("more").lastElementChild)));
  }
  return { update: () => sliders.forEach((slider) => slider.update()) };
}

function makeSlider(unit, parent) {
  const slider = document.createElement("div");
  slider.className = "slider";
  const head = document.createElement("label");
  head.className = "slider-head";
  head.htmlFor = `unit-${unit.number}`;
  const name = document.createElement("b");
  name.textContent = `z${unit.number}`;
  const measure = document.createElement("span");
  measure.className = "measure";
  const digits = unit.value >= 0.01 || unit.value === 0 ? unit.value.toFixed(2) : unit.value.toExponential(0);
  measure.textContent = `${digits}${data.unit_measure.includes("nats") ? " nats" : ""}`;
  name.append(measure);
  const shown = document.createElement("span");
  head.append(name, shown);

  const most = Math.max(...unit.histogram, 1);
  const bars = svg("svg", {
    class: "histogram", viewBox: `0 0 ${unit.histogram.length} 1`, preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  unit.histogram.forEach((count, i) =>
    svg("rect", { x: i + 0.06, y: 1 - count / most, width: 0.88, height: count / most }, bars));

  const input = document.createElement("input");
  input.type = "range";
  input.id = `unit-${unit.number}`;
  input.min = unit.low;
  input.max = unit.high;
  input.step = "any";
  input.addEventListener("input", () => {
    const z = state.z.slice();
    z[unit.number] = input.valueAsNumber;
    show(z);
  });
  // With a step of "any", browsers would move by too little.
  input.addEventListener("keydown", (event) => {
    const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!sign) return;
    event.preventDefault();
    const distance = ((event.shiftKey ? 5 : 1) * (unit.high - unit.low)) / 60;
    const z = state.z.slice();
    z[unit.number] = Math.min(unit.high, Math.max(unit.low, z[unit.number] + sign * distance));
    show(z);
  });
  slider.append(head, bars, input);
  parent.append(slider);
  return {
    update() {
      const value = state.z[unit.number];
      input.value = value;
      shown.textContent = format(value);
      input.setAttribute("aria-valuetext", format(value));
    },
  };
}
