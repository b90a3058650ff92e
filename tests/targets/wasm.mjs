// wasm.mjs MODULE - runs target_main of a module; target_put collects text.
import { readFileSync } from 'node:fs';

let text = '';
const env = { target_put: c => { text += String.fromCharCode(c); } };
const module = readFileSync(process.argv[2]);
const { instance } = await WebAssembly.instantiate(module, { env });
process.exitCode = instance.exports.target_main();
process.stdout.write(text);
