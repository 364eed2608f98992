import { tattlerError } from "../errors.js";

/** What user code returned, unless it is a promise where nobody can wait for one. Errors: TATTLER_ARGUMENT_INVALID. */
export function atOnce<T>(name: string, result: T): T {
  if (!isPromise(result)) return result;
  result.then(undefined, () => {}); // whatever comes of it comes too late
  throw tattlerError("TATTLER_ARGUMENT_INVALID", [name, "it returned a promise", "do all of it before returning"]);
}

export function isPromise(result: unknown): result is PromiseLike<unknown> {
  return typeof (result as { then?: unknown } | null | undefined)?.then === "function";
}

/** What was thrown, as an Error. */
export function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
