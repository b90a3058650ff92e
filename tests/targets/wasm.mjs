// wasm.mjs MODULE - runs target_main of a module; target_put collects text.
import { readFileSync } from 'node:fs';

let text = '';
const imports = { env: { target_put: c => { text += String.fromCharCode(c); } } };
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]),
                                                   imports);
process.exitCode = instance.exports.target_main();
process.stdout.write(text);
