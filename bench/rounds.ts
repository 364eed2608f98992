import { Bench } from "tinybench";
import type { CaseOptions } from "./comparison.js";

/** Nanoseconds for one operation, a value for each round, by side. */
export type Rounds<Side extends string> = Record<Side, number[]>;

/** Runs all sides in turn, round after round, with tinybench. `operations` is how many one call does. */
export async function inRounds<Side extends string>(
  options: CaseOptions,
  operations: number,
  sides: Record<Side, () => void>,
): Promise<Rounds<Side>> {
  const names = Object.keys(sides) as Side[];
  const rounds = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Rounds<Side>;
  for (let round = 0; round < options.rounds; round++) {
    const bench = new Bench({ time: options.seconds * 1000, warmupTime: 100 });
    for (const name of names) bench.add(name, sides[name]);
    await bench.run();
    for (const name of names) {
      const result = bench.getTask(name)?.result;
      if (result === undefined || !("latency" in result)) throw new Error(`${name} failed`);
      rounds[name].push((result.latency.p50 * 1e6) / operations);
    }
  }
  return rounds;
}
