import { readFileSync } from "node:fs";

/** One UDP and one TCP socket a node; both ends of the joins under way; what Node itself has open. */
export function descriptorsFor(nodes: number): number {
  return 2 * nodes + 512;
}

/** Errors: the limit of open files is too low for so many nodes; names the remedy. */
export function requireDescriptors(nodes: number, limit = openFilesLimit()): void {
  const needed = descriptorsFor(nodes);
  if (limit >= needed) return;
  const remedy = `raise it with "ulimit -n ${needed}", as root if the hard limit is in the way, or give fewer --nodes`;
  throw new Error(`${nodes} nodes need ${needed} open files and the limit is ${limit}; ${remedy}`);
}

/** Node raises the soft limit to the hard one when it starts. Infinity where the system does not tell. */
function openFilesLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
