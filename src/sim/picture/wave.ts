import type { Recording, Wave } from "../recorder.js";

/** Somebody who came to know, and over how many others. */
export interface Knower {
  readonly who: string;
  readonly afterMs: number;
  /** Tellings between the event and this one; 0: it found out by itself. */
  readonly hop: number;
  /** Index of who told it; null: nobody, or the member of the event itself. */
  readonly teller: number | null;
}

/** The event to show: one that really befell a member, told to most, and of those the one told for longest. */
export function chooseWave({ waves }: Recording): Wave | null {
  const told = waves.filter(({ learnt }) => learnt.length > 0);
  const blows = told.filter(({ kind }) => kind !== "join");
  const [first, ...rest] = blows.length > 0 ? blows : told;
  if (first === undefined) return null;
  return rest.reduce((best, wave) => {
    const more = wave.learnt.length - best.learnt.length;
    return more > 0 || (more === 0 && spreadMs(wave) > spreadMs(best)) ? wave : best;
  }, first);
}

/** In the order in which they came to know. */
export function knowersOf({ learnt, member, atMs }: Wave): Knower[] {
  const indexOf = new Map<string, number>();
  const knowers: Knower[] = [];
  for (const { who, from, atMs: thenMs } of learnt) {
    // One who does not know it brought evidence, not the news.
    const teller = (from === null ? undefined : indexOf.get(from)) ?? null;
    const hop = teller !== null ? (knowers[teller] as Knower).hop + 1 : from === member ? 1 : 0;
    indexOf.set(who, knowers.length);
    knowers.push({ who, afterMs: thenMs - atMs, hop, teller });
  }
  return knowers;
}

function spreadMs({ learnt }: Wave): number {
  return (learnt.at(-1)?.atMs ?? 0) - (learnt[0]?.atMs ?? 0);
}
