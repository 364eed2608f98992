// The install script of the package. A package with a prebuilt binary for this machine needs nothing; any other
// compiles the sources that it carries. In a clone `npm run build` does this and more, so there is nothing to do here.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileAddon } from "./compile.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);

function loads() {
  try {
    require("node-gyp-build")(root);
    return true;
  } catch {
    return false;
  }
}

const isClone = existsSync(join(root, "tsconfig.json"));
if (!isClone && !loads()) {
  try {
    await compileAddon();
    require("node-gyp-build")(root);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
