import type { Scale } from "../../src/sim/experiments/index.js";

/** What to type for the same figures. */
export function commandOf(names: readonly string[], scale: Scale): string {
  const flags = [
    ...names,
    ...(scale.size === "quick" ? ["--quick"] : []),
    ...(scale.seed === 1 ? [] : [`--seed ${scale.seed}`]),
    ...(scale.runs === undefined ? [] : [`--runs ${scale.runs}`]),
    ...(scale.nodes === undefined ? [] : [`--nodes ${scale.nodes}`]),
    ...(scale.setup === undefined ? [] : [`--setup ${inShell(scale.setup)}`]),
  ];
  return `npm run experiments -- ${flags.join(" ")}`;
}

function inShell(text: string): string {
  return /[^\w-]/.test(text) ? `"${text}"` : text;
}
