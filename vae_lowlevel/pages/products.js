"use strict";

/* The kernels that are products of matrices: dense layers and convolutions. For `graph.js`, whose
   helpers they use. */

/* Columns of a matrix that are multiplied together: their four sums stay in registers. */
const BLOCK = 4;

/* Lays out a matrix for `multiply`: [ceil(columns / 4)][rows][4], with zeros for missing columns. */
function pack(rows, columns, at) {
  const packed = new Float64Array(Math.ceil(columns / BLOCK) * rows * BLOCK);
  for (let column = 0; column < columns; column++) {
    const block = Math.floor(column / BLOCK) * rows * BLOCK + (column % BLOCK);
    for (let row = 0; row < rows; row++) packed[block + row * BLOCK] = at(row, column);
  }
  return packed;
}

/* Products of rows with one matrix. A row is joined from parts of x: `length` values from
   sources[i] + parts[0], `length` values from sources[i] + parts[1], ... The product of row i is
   written to y from targets[i] on. The sums are float64. */
function multiply({ x, sources, parts, length, matrix, columns, y, targets }) {
  const blockSize = parts.length * length * BLOCK;
  for (let column = 0, block = 0; column < columns; column += BLOCK, block += blockSize) {
    const width = Math.min(BLOCK, columns - column);
    // Two rows at a time, so that every number of the matrix is used twice. The last row of an odd
    // number of rows is computed twice.
    for (let i = 0; i < sources.length; i += 2) {
      const next = Math.min(i + 1, sources.length - 1);
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
      let k = block;
      for (let p = 0; p < parts.length; p++) {
        let j = sources[next] + parts[p];
        const first = sources[i] + parts[p];
        const end = first + length;
        for (let n = first; n < end; n++, j++, k += BLOCK) {
          const a = x[n];
          const b = x[j];
          const m0 = matrix[k];
          const m1 = matrix[k + 1];
          const m2 = matrix[k + 2];
          const m3 = matrix[k + 3];
          s0 += a * m0;
          s1 += a * m1;
          s2 += a * m2;
          s3 += a * m3;
          t0 += b * m0;
          t1 += b * m1;
          t2 += b * m2;
          t3 += b * m3;
        }
      }
      const to = targets[i] + column;
      const other = targets[next] + column;
      y[to] = s0;
      y[other] = t0;
      if (width > 1) { y[to + 1] = s1; y[other + 1] = t1; }
      if (width > 2) { y[to + 2] = s2; y[other + 2] = t2; }
      if (width > 3) { y[to + 3] = s3; y[other + 3] = t3; }
    }
  }
}

function matMul(step, [x, w], y) {
  const [rows, depth] = x.shape;
  const columns = y.shape[1];
  const packWeights = () =>
    pack(depth, columns, (k, n) => w.data[step.transpose_b ? n * depth + k : k * columns + n]);
  const packed = w.isConstant ? packWeights() : null;
  const sources = range(rows).map((row) => row * depth);
  const targets = range(rows).map((row) => row * columns);
  return () => multiply({
    x: x.data, sources, parts: [0], length: depth,
    matrix: packed || packWeights(), columns, y: y.data, targets,
  });
}

/* A copy of an image with zeros around it, so that a kernel may reach over its border. */
function paddedImage([batch, height, width, channels], [above, left], [below, right]) {
  const columns = left + width + right;
  const data = new Float32Array(batch * (above + height + below) * columns * channels);
  const at = (b, row, column) =>
    ((b * (above + height + below) + row + above) * columns + column + left) * channels;
  const fill = (from) => {
    const size = width * channels;
    for (let b = 0; b < batch; b++) {
      for (let row = 0; row < height; row++) {
        const start = (b * height + row) * size;
        data.set(from.subarray(start, start + size), at(b, row, 0));
      }
    }
  };
  return { data, at, fill };
}

/* Convolutions and transposed ones: the pixels that see the same entries of the kernel are one
   product of matrices. A plan is, for the rows and for the columns, a list of {step, first, count,
   taps}: the outputs first, first + step, ... see the kernel's entries taps[..].entry at the inputs
   index * taps[..].step + taps[..].shift, where index counts the outputs. */
function convolve(plans, [x, w], y, weightAt) {
  const [batch, height, width, channels] = x.shape;
  const [, yHeight, yWidth, columns] = y.shape;
  const reach = [plans[0], plans[1]].map((plan, axis) => {
    const size = [height, width][axis];
    const seen = plan.flatMap(({ count: outputs, taps, inputStep }) =>
      taps.flatMap(({ shift }) => [shift, shift + (outputs - 1) * inputStep]));
    return [Math.max(0, -Math.min(...seen, 0)), Math.max(0, Math.max(...seen, 0) - size + 1)];
  });
  const image = paddedImage(x.shape, reach.map((r) => r[0]), reach.map((r) => r[1]));
  const products = [];
  for (const rowPlan of plans[0]) {
    for (const columnPlan of plans[1]) {
      const taps = rowPlan.taps.flatMap((row) => columnPlan.taps.map((column) => [row, column]));
      const sources = [];
      const targets = [];
      for (let b = 0; b < batch; b++) {
        for (let i = 0; i < rowPlan.count; i++) {
          for (let j = 0; j < columnPlan.count; j++) {
            sources.push(image.at(b, i * rowPlan.inputStep, j * columnPlan.inputStep));
            const row = rowPlan.first + i * rowPlan.outputStep;
            const column = columnPlan.first + j * columnPlan.outputStep;
            targets.push(((b * yHeight + row) * yWidth + column) * columns);
          }
        }
      }
      products.push({
        x: image.data,
        sources: Int32Array.from(sources),
        parts: taps.map(([row, column]) => image.at(0, row.shift, column.shift) - image.at(0, 0, 0)),
        length: channels,
        matrix: pack(taps.length * channels, columns, (k, n) => {
          const [row, column] = taps[Math.floor(k / channels)];
          return w.data[weightAt(row.entry, column.entry, k % channels, n)];
        }),
        columns,
        y: y.data,
        targets: Int32Array.from(targets),
      });
    }
  }
  return () => {
    image.fill(x.data);
    products.forEach(multiply);
  };
}

function conv2D(step, [x, w], y) {
  const [, kernelWidth, channels, columns] = w.shape;
  // Output i sees the inputs i * stride - padding + entry.
  const plans = [0, 1].map((axis) => [{
    first: 0,
    outputStep: 1,
    count: y.shape[axis + 1],
    inputStep: step.strides[axis],
    taps: range(w.shape[axis]).map((entry) => ({ entry, shift: entry - step.padding[axis] })),
  }]);
  const weightAt = (row, column, k, n) => ((row * kernelWidth + column) * channels + k) * columns + n;
  return convolve(plans, [x, w], y, weightAt);
}

function conv2DTranspose(step, [x, w], y) {
  const [, kernelWidth, columns, channels] = w.shape;
  // Output o sees the inputs (o + padding - entry) / stride, for the entries where that is whole:
  // the same ones for every stride-th output.
  const plans = [0, 1].map((axis) => {
    const stride = step.strides[axis];
    const padding = step.padding[axis];
    return range(Math.min(stride, y.shape[axis + 1])).map((first) => ({
      first,
      outputStep: stride,
      count: Math.ceil((y.shape[axis + 1] - first) / stride),
      inputStep: 1,
      taps: range(w.shape[axis])
        .filter((entry) => (first + padding - entry) % stride === 0)
        .map((entry) => ({ entry, shift: (first + padding - entry) / stride })),
    }));
  });
  const weightAt = (row, column, k, n) => ((row * kernelWidth + column) * columns + n) * channels + k;
  return convolve(plans, [x, w], y, weightAt);
}
