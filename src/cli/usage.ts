import { parseArgs } from "node:util";

interface FlagType {
  readonly type: "string" | "boolean";
  readonly multiple?: boolean;
  readonly default?: string | boolean | string[] | boolean[];
}

/** What parseArgs makes of flags of these types. */
type FlagValues<T extends Record<string, FlagType>> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; strict: true; allowPositionals: false }>
>["values"];

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  constructor(problem: string, remedy: string) {
    super(`${problem}; ${remedy}`);
  }
}

/** node:util's parser, with its complaints as usage errors. */
export function parseFlags<T extends Record<string, FlagType>>(args: string[], options: T): FlagValues<T> {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, "see tattler --help");
  }
}

/** A whole number in a range. */
export function parseCount(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new UsageError(`--${flag} ${text} is not a whole number`, `give one from ${min} to ${max}`);
}
