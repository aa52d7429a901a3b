"use strict";
/* node run_programs.js <script>... < [{program, inputs: [{z: [...]}, ...]}, ...]
   writes {results: [{outputs: [[...], ...]}, ...], kernels: [...]}. */
const fs = require("fs");
// Joined, as in a page.
const source = process.argv.slice(2).map((path) => fs.readFileSync(path, "utf8")).join("\n");
const { KERNELS, compileProgram } = new Function(`${source}; return { KERNELS, compileProgram };`)();
const cases = JSON.parse(fs.readFileSync(0, "utf8"));
const results = cases.map(({ program, inputs }) => {
  const { run } = compileProgram(program);
  return { outputs: inputs.map((values) => Array.from(run(values))) };
});
process.stdout.write(JSON.stringify({ results, kernels: Object.keys(KERNELS) }));
