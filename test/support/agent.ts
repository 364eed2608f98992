import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface AgentEvent {
  readonly ts: string;
  readonly event: string;
  readonly member: { readonly name: string; readonly address: string; readonly meta?: string } | null;
  readonly members: number;
  readonly payload?: string;
  readonly reliable?: boolean;
  readonly id?: number | string;
  readonly stats?: Record<string, number>;
  readonly streams?: Record<string, number>;
  readonly view?: readonly SeenMember[];
  readonly error?: string;
}

/** One row of the answer to {"members":true}. */
export interface SeenMember {
  readonly name: string;
  readonly address: string;
  readonly meta?: string;
  readonly state: string;
  readonly incarnation: number;
}

const timings = ["probeIntervalMs=200", "probeTimeoutMs=100", "gossipIntervalMs=20", "suspicionMult=2"];
/** Quick, for tests on one machine; but the profile's second is less than a busy one may stand still. */
const quick = [...timings, "streamTimeoutMs=10000"];

/** A process that tells its events as `tattler agent --log json` does. */
export class AgentProcess {
  readonly events: AgentEvent[] = [];
  readonly lines: string[] = [];
  stderr = "";
  readonly process: ChildProcess;
  #wake: (() => void) | null = null;

  constructor(command: readonly [string, ...string[]], env: Record<string, string> = {}) {
    const [program, ...args] = command;
    this.process = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
    if (this.process.stdout === null || this.process.stderr === null) throw new Error("no pipes");
    createInterface({ input: this.process.stdout }).on("line", (line) => {
      this.lines.push(line);
      this.events.push(JSON.parse(line) as AgentEvent);
      this.#wake?.();
    });
    this.process.stderr.on("data", (chunk) => {
      this.stderr += chunk;
      this.#wake?.();
    });
    this.process.on("exit", () => this.#wake?.());
  }

  /** The first event of this kind, about this member if one is named. */
  async event(kind: string, about?: string): Promise<AgentEvent> {
    const find = (): AgentEvent | undefined =>
      this.events.find(({ event, member }) => event === kind && (about === undefined || member?.name === about));
    await this.until(() => find() !== undefined, `${kind} ${about ?? ""}`);
    return find() as AgentEvent;
  }

  /** One command line, for an agent with --commands. */
  command(command: object): void {
    this.process.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  async address(): Promise<string> {
    const { member } = await this.event("ready");
    return member?.address ?? "";
  }

  async until(condition: () => boolean, what: string, limitMs = 15_000): Promise<void> {
    const deadline = Date.now() + limitMs;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`waited for ${what}; so far: ${this.lines.join("\n")} ${this.stderr}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => resolve(), 50);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Sends a signal and waits for the end; the exit code, or null after a kill. */
  async stop(signal: NodeJS.Signals): Promise<number | null> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return this.process.exitCode;
    const exited = once(this.process, "exit");
    this.process.kill(signal);
    const [code] = await exited;
    return code as number | null;
  }
}

/** A real `tattler agent` process with quick timings. */
export class Agent extends AgentProcess {
  constructor(args: readonly string[]) {
    const set = quick.flatMap((pair) => ["--set", pair]);
    const fixed = ["agent", "--bind", "127.0.0.1:0", "--log", "json", "--profile", "local", ...set];
    super([process.execPath, cli, ...fixed, ...args]);
  }
}
