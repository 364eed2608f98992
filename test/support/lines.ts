import type { Logger } from "../../src/options.js";

export interface Line {
  readonly level: keyof Logger;
  readonly event: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** A logger that keeps its lines. */
export class Lines implements Logger {
  readonly lines: Line[] = [];
  readonly trace = this.#at("trace");
  readonly debug = this.#at("debug");
  readonly info = this.#at("info");
  readonly warn = this.#at("warn");
  readonly error = this.#at("error");

  of(event: string): Line[] {
    return this.lines.filter((line) => line.event === event);
  }

  #at(level: keyof Logger): (fields: object, message: string) => void {
    return (fields, message) => void this.lines.push({ ...fields, level, message } as Line);
  }
}
