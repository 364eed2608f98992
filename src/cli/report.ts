/** What `tattler start --json` prints. Durations are milliseconds. */
export interface StartResult {
  readonly nodes: number;
  readonly encrypted: boolean;
  readonly convergeMs: number;
  readonly crash: { readonly firstMs: number; readonly allMs: number; readonly seen: number };
  readonly leave: { readonly allMs: number; readonly seen: number; readonly reportedAsFail: number };
  readonly broadcast: {
    readonly delivered: number;
    readonly duplicates: number;
    readonly p50Ms: number;
    readonly p99Ms: number;
  };
  readonly packets: { readonly sent: number; readonly received: number; readonly dropped: number };
  readonly cpuSeconds: number;
  readonly rssMb: number;
  readonly falseFailures: number;
}

const terminalEveryMs = 100;
const plainEveryMs = 2000;

/** One line of counts: rewritten in place on a terminal, printed now and then elsewhere. */
export class Progress {
  readonly #out: NodeJS.WriteStream;
  readonly #beganMs = performance.now();
  #timer: NodeJS.Timeout | null = null;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  /** Shows the line again and again until stopped. */
  every(line: () => string): { stop(): void } {
    this.#clearTimer();
    this.#timer = setInterval(() => this.#show(line()), this.#out.isTTY ? terminalEveryMs : plainEveryMs);
    return {
      stop: () => {
        this.#clearTimer();
        this.#show(line());
        if (this.#out.isTTY) this.#out.write("\n");
      },
    };
  }

  end(): void {
    this.#clearTimer();
  }

  #show(line: string): void {
    const seconds = ((performance.now() - this.#beganMs) / 1000).toFixed(1);
    if (this.#out.isTTY) this.#out.write(`\r\x1b[2K${line} · ${seconds} s`);
    else this.#out.write(`${line} · ${seconds} s\n`);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** The summary for people. */
export function writeSummary(result: StartResult): void {
  const { nodes, crash, leave, broadcast, packets } = result;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  const rows: [string, string][] = [
    ["nodes", `${nodes}, AES-256-GCM, one UDP and one TCP socket each`],
    ["all know all", `after ${seconds(result.convergeMs)}`],
    [
      "a broadcast",
      `reached ${broadcast.delivered} of ${nodes - 1}, ${broadcast.duplicates} twice; ` +
        `p50 ${broadcast.p50Ms} ms, p99 ${broadcast.p99Ms} ms`,
    ],
    ["a crash", `first known after ${seconds(crash.firstMs)}, to all ${crash.seen} after ${seconds(crash.allMs)}`],
    [
      "a leave",
      `known to all ${leave.seen} after ${seconds(leave.allMs)}, taken for a failure by ${leave.reportedAsFail}`,
    ],
    ["false failures", String(result.falseFailures)],
    [
      "datagrams",
      `${packets.sent.toLocaleString("en")} sent, ${packets.received.toLocaleString("en")} received, ` +
        `${packets.dropped.toLocaleString("en")} dropped`,
    ],
    ["cost", `${result.cpuSeconds.toFixed(1)} s of CPU, ${result.rssMb.toFixed(0)} MB`],
  ];
  console.log("");
  for (const [what, text] of rows) console.log(`  ${what.padEnd(16)}${text}`);
}
