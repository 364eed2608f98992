import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What the case found, from a process of its own; null when it failed. Later arguments win. */
export async function runApart(name: string, args: readonly string[], more: readonly string[] = []): Promise<unknown> {
  process.stderr.write(`bench: ${name} …\n`);
  const self = fileURLToPath(new URL("./main.js", import.meta.url));
  const { code, output } = await outputOf(process.execPath, ["--expose-gc", self, ...args, ...more, "--run", name]);
  return code === 0 ? JSON.parse(output) : null;
}

/** Runs a program to its end; stderr is the user's to read. Rejects when it cannot be started. */
export function outputOf(
  command: string,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
  });
}
