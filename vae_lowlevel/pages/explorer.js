"use strict";

/* The page of the latent explorer. `show(z)` is the one way to change z: it moves the point or the
   sliders and has the picture decoded before the next frame. */

const SVG = "http://www.w3.org/2000/svg";
const PLAY_MILLISECONDS = 3000;

const $ = (id) => document.getElementById(id);
window.addEventListener("error", ({ message }) => {
  $("failure").textContent = `The page does not work: ${message}`;
  $("failure").hidden = false;
});

const data = JSON.parse($("data").textContent);

/* Returns the typed array of {type, data}, which is little-endian, as all machines with a browser. */
const values = (array) => {
  const types = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };
  return new types[array.type](decodeBytes(array.data).buffer);
};
const row = (array, number, size) => array.subarray(number * size, (number + 1) * size);

const [imageCount, height, width, channels] = data.images.shape;
const latentDim = data.image_z.shape[1];
const images = values(data.images);
const imageLabels = values(data.image_labels);
const imageZ = values(data.image_z);
const isPlane = latentDim === 2;
const decoder = compileProgram(data.program);

const className = (label) =>
  label < 0 ? "unknown" : data.class_names[label] === undefined ? String(label) : data.class_names[label];
const hasClasses = data.class_names.length > 0;

const state = {
  z: new Float32Array(latentDim),
  label: -1,
  a: 0,
  b: Math.min(1, imageCount - 1),
  alone: null, // The class that is shown alone.
  frames: 0, // Pictures decoded so far.
  milliseconds: 0,
};

// ---------------------------------------------------------------- pictures

/* Draws values in [0, 1] (factor 255) or pixels (factor 1) into a canvas of the image's size. */
function paint(canvas, pixels, factor) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let channel = 0; channel < 3; channel++) {
      // A clamped array rounds and keeps to 0 ... 255.
      picture.data[4 * i + channel] = factor * pixels[i * channels + (channels === 3 ? channel : 0)];
    }
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

function decode() {
  return decoder.run(data.is_conditional ? { z: state.z, label: [state.label] } : { z: state.z });
}

/* Decodes a few times: browsers compile code for speed once it has run often. */
function warmUp(times = 8) {
  decode();
  if (times > 1) setTimeout(warmUp, 30, times - 1);
}

let isPlanned = false;
function plan() {
  if (isPlanned) return;
  isPlanned = true;
  requestAnimationFrame(() => {
    isPlanned = false;
    const start = performance.now();
    paint($("picture"), decode(), 255);
    state.milliseconds = performance.now() - start;
    state.frames += 1;
    $("time").textContent = `in ${state.milliseconds.toFixed(1)} ms`;
  });
}

// ---------------------------------------------------------------- z

let latents; // The plane or the sliders: {update()}.

/* Sets z and, if given, the class. Moves that are not on the way from A to B end that way. */
function show(z, { label, position = null } = {}) {
  state.z.set(z);
  if (label !== undefined) setLabel(label);
  if (position === null) stopPlaying();
  latents.update();
  plan();
}

function setLabel(label) {
  state.label = label;
  $("class").value = String(label);
}

/* Returns a number with two digits; U+2212 is the minus sign. */
const format = (value) => {
  const text = value.toFixed(2);
  return (Number(text) === 0 ? "0.00" : text).replace("-", "\u2212");
};

function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

const prior = data.prior && {
  loc: data.prior.loc && values(data.prior.loc),
  scale: data.prior.scale && values(data.prior.scale),
  draws: data.prior.draws && values(data.prior.draws),
};
const resetZ = Float32Array.from({ length: latentDim }, (_, i) => (prior && prior.loc ? prior.loc[i] : 0));

function drawFromPrior() {
  if (prior.draws) {
    return row(prior.draws, Math.floor(Math.random() * data.prior.draws.shape[0]), latentDim);
  }
  return prior.loc.map((loc, i) => loc + prior.scale[i] * normal());
}

const posteriorScale = data.posteriors && data.posteriors.scale && values(data.posteriors.scale);
const posteriorDraws = data.posteriors && data.posteriors.draws && values(data.posteriors.draws);

/* Returns the entries [i][j] of the lower-triangular scale of an image's Gaussian posterior. */
function scaleOf(number) {
  const isFull = data.posteriors.scale.shape.length === 3;
  const own = row(posteriorScale, number, isFull ? latentDim * latentDim : latentDim);
  return (i, j) => (isFull ? own[i * latentDim + j] : i === j ? own[i] : 0);
}

function drawFromPosterior(number) {
  if (posteriorDraws) {
    const count = data.posteriors.draws.shape[1];
    return row(posteriorDraws, number * count + Math.floor(Math.random() * count), latentDim);
  }
  const scale = scaleOf(number);
  const noise = Array.from({ length: latentDim }, normal);
  return row(imageZ, number, latentDim).map((loc, i) => {
    let z = loc;
    for (let j = 0; j <= i; j++) z += scale(i, j) * noise[j];
    return z;
  });
}

// ---------------------------------------------------------------- SVG

function svg(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  if (parent) parent.append(element);
  return element;
}

// ---------------------------------------------------------------- test images, A to B

const imagePixels = (number) => row(images, number, height * width * channels);

const thumbnails = Array.from({ length: imageCount }, (_, number) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "thumbnail";
  const canvas = document.createElement("canvas");
  paint(canvas, imagePixels(number), 1);
  button.append(canvas);
  const label = imageLabels[number];
  if (hasClasses) {
    const caption = document.createElement("small");
    caption.textContent = className(label);
    button.append(caption);
  }
  button.addEventListener("click", () => choose(number));
  $("gallery").append(button);
  return button;
});

function choose(number) {
  const role = document.querySelector("input[name=choose]:checked").value;
  state[role] = number;
  markChosen();
  if (role === "a") backToA();
  else latents.update();
}

function markChosen() {
  thumbnails.forEach((button, number) => {
    const roles = ["a", "b"].filter((role) => state[role] === number).map((role) => role.toUpperCase());
    const named = hasClasses ? `, ${className(imageLabels[number])}` : "";
    const chosen = roles.length ? `, chosen as ${roles.join(" and ")}` : "";
    button.setAttribute("aria-label", `Test image ${number + 1}${named}${chosen}`);
    if (roles.length) button.dataset.role = roles.join(" ");
    else delete button.dataset.role;
  });
  paint($("original"), imagePixels(state.a), 1);
  $("original-name").textContent =
    `image A${hasClasses ? `: ${className(imageLabels[state.a])}` : ""}`;
}

const labelOf = (number) => (data.is_conditional ? { label: imageLabels[number] } : {});
const backToA = () => {
  $("interpolate").value = 0;
  show(row(imageZ, state.a, latentDim), labelOf(state.a));
};

function moveTo(position) {
  const [a, b] = [state.a, state.b].map((number) => row(imageZ, number, latentDim));
  show(a.map((value, i) => value + position * (b[i] - value)), { position });
}

let playing = 0; // The frame that is planned.
function stopPlaying() {
  cancelAnimationFrame(playing);
  playing = 0;
  $("play").textContent = "Play A to B";
}
function play() {
  if (playing) return stopPlaying();
  if (data.is_conditional) setLabel(imageLabels[state.a]);
  $("play").textContent = "Stop";
  let first = null;
  const next = (now) => {
    first = first === null ? now : first;
    const position = Math.min(1, (now - first) / PLAY_MILLISECONDS);
    $("interpolate").value = position;
    moveTo(position);
    if (position < 1) playing = requestAnimationFrame(next);
    else stopPlaying();
  };
  playing = requestAnimationFrame(next);
}

// ---------------------------------------------------------------- start

function start() {
  $("description").textContent = data.description;
  document.documentElement.style.setProperty("--shape", `${width} / ${height}`);
  if (data.is_conditional) {
    const hasUnknown = imageLabels.includes(-1);
    const labels = [...data.class_names.keys(), ...(hasUnknown ? [-1] : [])];
    labels.forEach((label) => $("class").add(new Option(className(label), label)));
    $("class-field").hidden = false;
    $("class").addEventListener("change", () => {
      state.label = Number($("class").value);
      plan();
    });
  }
  $("random").hidden = !data.prior;
  $("resample").hidden = !data.posteriors;
  $("random").addEventListener("click", () => show(drawFromPrior()));
  $("resample").addEventListener("click", () => show(drawFromPosterior(state.a), labelOf(state.a)));
  $("mean").addEventListener("click", backToA);
  $("reset").title = data.prior && data.prior.loc ? "The mean of the prior" : "z = 0";
  $("reset").addEventListener("click", () => { $("interpolate").value = 0; show(resetZ); });
  $("interpolate").addEventListener("input", () => {
    stopPlaying();
    moveTo($("interpolate").valueAsNumber);
  });
  $("play").addEventListener("click", play);
  latents = isPlane ? makePlane() : makeSliders();
  markChosen();
  backToA();
  setTimeout(warmUp, 100);
}

start();
// For tests and for the console.
window.explorer = { state, show, data };
