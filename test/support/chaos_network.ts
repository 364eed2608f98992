import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Place } from "./chaos_agents.js";

const program = fileURLToPath(new URL("../../build/chaos/network", import.meta.url));

/** Empty when this machine lets us make networks; otherwise why not. */
export function whyNoNetwork(): string {
  const { status, stderr, error } = spawnSync(program, ["1", "1"], { input: "", encoding: "utf8" });
  if (error !== undefined) return error.message;
  const entered = spawnSync("nsenter", ["--version"]);
  if (entered.error !== undefined) return entered.error.message;
  return status === 0 ? "" : stderr.trim();
}

/** Hosts in network namespaces of their own, and the wires between them (test/support/native/network.cc). */
export class ChaosNetwork {
  readonly #process: ChildProcess;
  readonly #replies: AsyncIterator<string>;
  readonly #lines: Interface;
  #namespaces: string[] = [];
  /** The kernel's numbers of the namespaces, by which processes in them are found. */
  #inodes: number[] = [];

  private constructor(hosts: number, seed: number) {
    this.#process = spawn(program, [String(hosts), String(seed)], { stdio: ["pipe", "pipe", "inherit"] });
    if (this.#process.stdout === null) throw new Error("no pipe");
    this.#lines = createInterface({ input: this.#process.stdout });
    this.#replies = this.#lines[Symbol.asyncIterator]();
  }

  static async open(hosts: number, seed = 1): Promise<ChaosNetwork> {
    const network = new ChaosNetwork(hosts, seed);
    const descriptors = (await network.#reply()).trim().split(" ");
    network.#namespaces = descriptors.map((number) => `/proc/${network.#process.pid}/fd/${number}`);
    network.#inodes = network.#namespaces.map((path) => statSync(path).ino);
    return network;
  }

  get size(): number {
    return this.#namespaces.length;
  }

  host(index: number): Place {
    return { bind: `10.77.0.${index + 1}:7946`, enter: ["nsenter", `--net=${this.#namespaces[index]}`] };
  }

  /** Of what one host sends to another so much is lost from now on. */
  loss(from: number | "*", to: number | "*", percent: number): Promise<void> {
    return this.#obey(`loss ${from} ${to} ${percent}`);
  }

  delay(from: number | "*", to: number | "*", ms: number, jitterMs: number): Promise<void> {
    return this.#obey(`delay ${from} ${to} ${ms} ${jitterMs}`);
  }

  /** Nothing passes between the two sides. */
  async cut(one: readonly number[], other: readonly number[]): Promise<void> {
    for (const a of one) {
      for (const b of other) {
        await this.loss(a, b, 100);
        await this.loss(b, a, 100);
      }
    }
  }

  async heal(): Promise<void> {
    await this.loss("*", "*", 0);
    await this.delay("*", "*", 0, 0);
  }

  async count(): Promise<{ passed: number; lost: number }> {
    this.#process.stdin?.write("count\n");
    const [passed, lost] = (await this.#reply()).split(" ").map(Number);
    return { passed: passed ?? 0, lost: lost ?? 0 };
  }

  /** Ends it; the processes that are still in its namespaces, of which there should be none. */
  async close(): Promise<number[]> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const exited = once(this.#process, "exit");
      this.#process.stdin?.end();
      await exited;
    }
    this.#lines.close();
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && this.#inodes.includes(netOf(name)))
      .map(Number);
  }

  async #obey(line: string): Promise<void> {
    this.#process.stdin?.write(`${line}\n`);
    const reply = await this.#reply();
    if (reply !== "done") throw new Error(`${line}: ${reply}`);
  }

  async #reply(): Promise<string> {
    const { value, done } = await this.#replies.next();
    if (done === true) throw new Error("the network has ended");
    return value;
  }
}

function netOf(pid: string): number {
  try {
    return statSync(`/proc/${pid}/ns/net`).ino;
  } catch {
    return 0; // has ended meanwhile
  }
}
