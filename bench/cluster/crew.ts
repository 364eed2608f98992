import { fileURLToPath } from "node:url";
import { type MessagePort, Worker } from "node:worker_threads";

/** The threads of this process that play one scenario together: each runs all of it, in step, on nodes of its own. */
export interface Crew {
  /** From 0 on; 0 is whose report counts. */
  readonly rank: number;
  readonly size: number;
  /** What each thread gives at this step, by rank; resolves when all have come so far. */
  share<T>(value: T): Promise<T[]>;
}

/** What a thread of the crew is started with. */
export interface Post {
  readonly name: string;
  readonly options: unknown;
  readonly rank: number;
  readonly size: number;
}

export const alone: Crew = { rank: 0, size: 1, share: (value) => Promise.resolve([value]) };

/**
 * Plays the part of rank 0 here and the others in threads, which are over when it resolves. The process ends at once
 * when one of them fails: all others would wait for it.
 */
export async function playTogether<T>(
  name: string,
  options: unknown,
  size: number,
  play: (crew: Crew) => Promise<T>,
): Promise<T> {
  if (size === 1) return play(alone);
  const workers = Array.from({ length: size - 1 }, (_, i) => startThread({ name, options, rank: i + 1, size }));
  const ended = workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
  try {
    const result = await play(new Lead(workers));
    await Promise.all(ended);
    return result;
  } finally {
    for (const worker of workers) {
      worker.removeAllListeners("exit");
      void worker.terminate();
    }
  }
}

function startThread(post: Post): Worker {
  const worker = new Worker(fileURLToPath(new URL("./crew_thread.js", import.meta.url)), { workerData: post });
  const fail = (problem: string): void => {
    console.error(`bench: thread ${post.rank}: ${problem}`);
    process.exit(1);
  };
  worker.once("error", (error) => fail(error.message));
  worker.once("exit", (code) => {
    if (code !== 0) fail(`it ended with ${code}`);
  });
  return worker;
}

/** Rank 0 collects what all give at a step, and tells them. */
class Lead implements Crew {
  readonly rank = 0;
  readonly size: number;
  readonly #workers: readonly Worker[];
  #given: unknown[] = [];
  #count = 0;
  #resolve: ((values: never[]) => void) | null = null;

  constructor(workers: readonly Worker[]) {
    this.#workers = workers;
    this.size = workers.length + 1;
    for (const [i, worker] of workers.entries()) worker.on("message", (value: unknown) => this.#take(i + 1, value));
  }

  share<T>(value: T): Promise<T[]> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#take(0, value);
    });
  }

  #take(rank: number, value: unknown): void {
    this.#given[rank] = value;
    if (++this.#count < this.size) return;
    const values = this.#given;
    [this.#given, this.#count] = [[], 0];
    for (const worker of this.#workers) worker.postMessage(values);
    this.#resolve?.(values as never[]);
  }
}

/** Any other rank, in its thread. */
export class Hand implements Crew {
  readonly rank: number;
  readonly size: number;
  readonly #port: MessagePort;

  constructor({ rank, size }: Post, port: MessagePort) {
    [this.rank, this.size] = [rank, size];
    this.#port = port;
  }

  share<T>(value: T): Promise<T[]> {
    return new Promise((resolve) => {
      this.#port.once("message", resolve);
      this.#port.postMessage(value);
    });
  }
}
