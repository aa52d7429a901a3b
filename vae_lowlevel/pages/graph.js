"use strict";

/* Runs the programs of decoder_graph.py: `compileProgram(program).run({z: ..., label: ...})`.

A tensor is {shape, data}, its values in C order in a Float32Array that is allocated once. A kernel is
called once per step, when the program is compiled: (step, inputs, output) -> a function that computes
output.data from the data of the inputs. */

const count = (shape) => shape.reduce((product, size) => product * size, 1);

/* Strides of a shape in C order: how far apart neighbours on each axis are. */
function stridesOf(shape) {
  const strides = new Array(shape.length);
  for (let axis = shape.length - 1, stride = 1; axis >= 0; stride *= shape[axis], axis--) {
    strides[axis] = stride;
  }
  return strides;
}

/* Where the values of a tensor of a shape are in another one. offsets[axis][i] is what the index i of
   an axis adds to the position. */
function positions(shape, offsets) {
  let result = new Int32Array(1);
  shape.forEach((size, axis) => {
    const longer = new Int32Array(result.length * size);
    for (let i = 0; i < result.length; i++) {
      for (let j = 0; j < size; j++) longer[i * size + j] = result[i] + offsets[axis][j];
    }
    result = longer;
  });
  return result;
}

const range = (size) => Array.from({ length: size }, (_, index) => index);

/* Positions in `from` for every value of the shape that it is broadcast to. */
function broadcastPositions(from, to) {
  const strides = stridesOf(from);
  const missing = to.length - from.length;
  const offsets = to.map((size, axis) => {
    const own = axis - missing;
    return range(size).map((i) => (own < 0 || from[own] === 1 ? 0 : i * strides[own]));
  });
  return positions(to, offsets);
}

/* The complementary error function, to 1.5e-7: Abramowitz and Stegun, 1964, 7.1.26. */
function erfc(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const polynomial =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = polynomial * Math.exp(-x * x);
  return x < 0 ? 2 - tail : tail;
}

/* The operations on values, as expressions. Each gets a loop of its own: a loop that called a function
   for every value would take ten times as long. */
const UNARY = {
  Abs: "Math.abs(x)",
  Ceil: "Math.ceil(x)",
  Cos: "Math.cos(x)",
  Elu: "x < 0 ? Math.expm1(x) : x",
  Erf: "1 - erfc(x)",
  Erfc: "erfc(x)",
  Exp: "Math.exp(x)",
  Expm1: "Math.expm1(x)",
  Floor: "Math.floor(x)",
  Log: "Math.log(x)",
  Log1p: "Math.log1p(x)",
  LogicalNot: "x ? 0 : 1",
  Neg: "-x",
  Reciprocal: "1 / x",
  Relu: "x < 0 ? 0 : x",
  Relu6: "x < 0 ? 0 : x > 6 ? 6 : x",
  Rsqrt: "1 / Math.sqrt(x)",
  Selu: "1.0507009873554805 * (x < 0 ? 1.6732632423543772 * Math.expm1(x) : x)",
  Sigmoid: "1 / (1 + Math.exp(-x))",
  Sign: "Math.sign(x)",
  Sin: "Math.sin(x)",
  Softplus: "Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))",
  Softsign: "x / (1 + Math.abs(x))",
  Sqrt: "Math.sqrt(x)",
  Square: "x * x",
  Tanh: "Math.tanh(x)",
};

const BINARY = {
  AddV2: "x + y",
  Equal: "x === y ? 1 : 0",
  FloorDiv: "Math.floor(x / y)",
  Greater: "x > y ? 1 : 0",
  GreaterEqual: "x >= y ? 1 : 0",
  Less: "x < y ? 1 : 0",
  LessEqual: "x <= y ? 1 : 0",
  LogicalAnd: "x && y ? 1 : 0",
  LogicalOr: "x || y ? 1 : 0",
  Maximum: "Math.max(x, y)",
  Minimum: "Math.min(x, y)",
  Mul: "x * y",
  NotEqual: "x !== y ? 1 : 0",
  Pow: "Math.pow(x, y)",
  RealDiv: "x / y",
  SquaredDifference: "(x - y) * (x - y)",
  Sub: "x - y",
};

const CASTS = { float32: "x", int32: "Math.trunc(x)", int64: "Math.trunc(x)", bool: "x ? 1 : 0" };

/* Returns a function made of its text, which sees `erfc`. */
const generate = (parameters, body) =>
  new Function("erfc", `"use strict"; return (${parameters}) => {${body}};`)(erfc);

function mapUnary(expression) {
  const loop = generate("from, to", `
    for (let i = 0; i < to.length; i++) { const x = from[i]; to[i] = ${expression}; }`);
  return (step, [x], y) => () => loop(x.data, y.data);
}

/* An operand whose shape is the end of the result's is repeated as a whole, every `period` values;
   leading axes of size 1 do not count. Other shapes have no period: 0. */
function periodOf(from, to) {
  const first = from.findIndex((size) => size !== 1);
  const end = first < 0 ? [] : from.slice(first);
  return end.every((size, i) => size === to[to.length - end.length + i]) ? count(end) : 0;
}

function mapBinary(expression) {
  const periodic = generate("left, right, to", `
    const period = right.length;
    for (let first = 0; first < to.length; first += period) {
      for (let i = 0; i < period; i++) {
        const x = left[first + i], y = right[i];
        to[first + i] = ${expression};
      }
    }`);
  const anywhere = generate("left, lefts, right, rights, to", `
    for (let i = 0; i < to.length; i++) {
      const x = left[lefts[i]], y = right[rights[i]];
      to[i] = ${expression};
    }`);
  return (step, [a, b], y) => {
    if (count(a.shape) === count(y.shape) && periodOf(b.shape, y.shape) > 0) {
      return () => periodic(a.data, b.data, y.data);
    }
    const [lefts, rights] = [a, b].map((x) => broadcastPositions(x.shape, y.shape));
    return () => anywhere(a.data, lefts, b.data, rights, y.data);
  };
}

/* x -> one value per group of the values that differ only in their indices of step.axes. */
function reduce(start, expression) {
  const loop = generate("values, to, totals", `
    for (let i = 0; i < to.length; i++) {
      const x = values[i], y = totals[to[i]];
      totals[to[i]] = ${expression};
    }`);
  return (step, [x], y) => {
    const kept = x.shape.map((size, axis) => (step.axes.includes(axis) ? 1 : size));
    const to = broadcastPositions(kept, x.shape);
    const totals = new Float64Array(count(kept));
    const divisor = step.kernel === "Mean" ? to.length / totals.length : 1;
    return () => {
      totals.fill(start);
      loop(x.data, to, totals);
      for (let i = 0; i < totals.length; i++) y.data[i] = totals[i] / divisor;
    };
  };
}

/* Values from positions of the input. */
function copyFrom(x, y, from) {
  return () => {
    for (let i = 0; i < from.length; i++) y.data[i] = x.data[from[i]];
  };
}

const KERNELS = {
  ...Object.fromEntries(Object.entries(UNARY).map(([name, f]) => [name, mapUnary(f)])),
  ...Object.fromEntries(Object.entries(BINARY).map(([name, f]) => [name, mapBinary(f)])),

  Max: reduce(-Infinity, "Math.max(x, y)"),
  Mean: reduce(0, "x + y"),
  Min: reduce(Infinity, "Math.min(x, y)"),
  Sum: reduce(0, "x + y"),

  Conv2D: conv2D,
  Conv2DTranspose: conv2DTranspose,
  MatMul: matMul,

  Cast: (step, inputs, y) => mapUnary(CASTS[step.to])(step, inputs, y),

  Concat(step, inputs, y) {
    const outer = count(y.shape.slice(0, step.axis));
    const row = count(y.shape) / outer;
    const widths = inputs.map((x) => count(x.shape) / outer);
    return () => {
      let first = 0;
      inputs.forEach((x, number) => {
        const width = widths[number];
        for (let i = 0; i < outer; i++) {
          y.data.set(x.data.subarray(i * width, (i + 1) * width), i * row + first);
        }
        first += width;
      });
    };
  },

  Gather(step, [x, index], y) {
    const size = count(x.shape.slice(1));
    return () => {
      index.data.forEach((row, i) => y.data.set(x.data.subarray(row * size, (row + 1) * size), i * size));
    };
  },

  LeakyRelu: (step, inputs, y) =>
    mapUnary(`x < 0 ? ${Number(step.alpha)} * x : x`)(step, inputs, y),

  OneHot(step, [x], y) {
    const depth = y.shape[y.shape.length - 1];
    return () => {
      y.data.fill(step.off);
      x.data.forEach((index, i) => {
        if (index >= 0 && index < depth) y.data[i * depth + index] = step.on;
      });
    };
  },

  Pad(step, [x], y) {
    const strides = stridesOf(y.shape);
    const to = positions(x.shape, x.shape.map((size, axis) =>
      range(size).map((i) => (i + step.before[axis]) * strides[axis])));
    return () => {
      y.data.fill(step.value);
      for (let i = 0; i < to.length; i++) y.data[to[i]] = x.data[i];
    };
  },

  Reshape: (step, [x], y) => () => y.data.set(x.data),

  SelectV2(step, inputs, y) {
    const [test, yes, no] = inputs.map((x) => broadcastPositions(x.shape, y.shape));
    const [condition, a, b] = inputs;
    return () => {
      for (let i = 0; i < test.length; i++) {
        y.data[i] = condition.data[test[i]] ? a.data[yes[i]] : b.data[no[i]];
      }
    };
  },

  Take(step, [x], y) {
    // Axes that the input lacks come first, as in broadcasting; indices of size 1 on them are 0.
    const missing = step.indices.length - x.shape.length;
    const strides = stridesOf(x.shape);
    const shape = step.indices.map((indices) => indices.length);
    return copyFrom(x, y, positions(shape, step.indices.map((indices, axis) =>
      indices.map((i) => (axis < missing ? 0 : i * strides[axis - missing])))));
  },

  Transpose(step, [x], y) {
    const strides = stridesOf(x.shape);
    return copyFrom(x, y, positions(y.shape, step.order.map((axis) =>
      range(x.shape[axis]).map((i) => i * strides[axis]))));
  },
};

/* Returns the values of a constant: base64 of float32, little-endian. */
function decodeFloats(text) {
  const bytes = decodeBytes(text);
  const view = new DataView(bytes.buffer);
  const values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return values;
}

function decodeBytes(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/* Returns {run, shape}: run({z, label}) computes the output, a Float32Array that the next run
   overwrites, of the given shape. */
function compileProgram(program) {
  const inputs = Object.entries(program.inputs).map(([name, shape]) => ({
    name, shape, data: new Float32Array(count(shape)),
  }));
  const constants = program.constants.map(({ shape, data }) => ({
    shape, data: decodeFloats(data), isConstant: true,
  }));
  const tensors = [...inputs, ...constants];
  const runs = program.steps.map((step) => {
    const output = { shape: step.shape, data: new Float32Array(count(step.shape)) };
    const compile = KERNELS[step.kernel];
    if (!compile) throw new Error(`there is no kernel ${step.kernel}`);
    const run = compile(step, step.inputs.map((number) => tensors[number]), output);
    tensors.push(output);
    return run;
  });
  const { shape, data } = tensors[program.output];
  const run = (values) => {
    inputs.forEach((input) => {
      if (values[input.name].length !== input.data.length) {
        throw new Error(`${input.name}: expected ${input.data.length} numbers`);
      }
      input.data.set(values[input.name]);
    });
    runs.forEach((compute) => compute());
    return data;
  };
  return { run, shape };
}
