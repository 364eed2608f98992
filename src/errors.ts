/**
 * Every error tattler throws: a code, what happened, and what to do about it.
 * Codes are never reused. Unless a row says otherwise, the call that threw changed nothing.
 */
const table = {
  TATTLER_OPTION_INVALID: {
    message: "option %s: %s",
    remedy: "%s",
  },
  TATTLER_OPTION_UNKNOWN: {
    message: "there is no option %s",
    remedy: "check the spelling; the known options are: %s",
  },
  TATTLER_ADDON_MISSING: {
    message: "the native addon could not be loaded: %s",
    remedy:
      "there is no prebuilt binary for this platform, so it must be compiled: install Python 3, make and g++ 10 " +
      "or later (Debian: apt-get install python3 make g++; macOS: xcode-select --install), then run " +
      "`npm rebuild tattler` (from a clone: `npm run build`)",
  },
  TATTLER_BIND_FAILED: {
    message: "cannot bind %s: %s",
    remedy: "choose a free port (0 lets the system pick one) and an address of this machine",
  },
  TATTLER_CLOSED: {
    message: "the node is closed",
    remedy: "create a new node; a closed one does not come back",
  },
} as const;

export type ErrorCode = keyof typeof table;

/** The one error class. `code` is stable and meant for programs, `remedy` is meant for people. */
export class TattlerError extends Error {
  override readonly name = "TattlerError";
  readonly code: ErrorCode;
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, remedy: string, options?: ErrorOptions) {
    super(`${message}; ${remedy}`, options);
    this.code = code;
    this.remedy = remedy;
  }
}

/**
 * Builds the error of a table row. `details` fill the `%s` places of the message, then of the remedy, in order.
 */
export function tattlerError(code: ErrorCode, details: readonly string[] = [], cause?: unknown): TattlerError {
  const row = table[code];
  let next = 0;
  const fill = (text: string): string => text.replace(/%s/g, () => details[next++] ?? "?");
  const message = fill(row.message);
  const remedy = fill(row.remedy);
  return new TattlerError(code, message, remedy, cause === undefined ? undefined : { cause });
}
