import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Member } from "../delegates.js";
import type { GossipNode } from "../node.js";
import { memberJson, type Write } from "./events.js";

/**
 * One line of input: `{"send":"b","text":"hi","reliable":true,"id":1}`, `{"broadcast":"hi","id":2}` or
 * `{"members":true,"id":3}`.
 */
interface Command {
  readonly id?: number | string;
  readonly send?: string;
  readonly text?: string;
  readonly reliable?: boolean;
  readonly broadcast?: string;
  readonly members?: boolean;
}

/**
 * Obeys JSON lines until the input ends. Each is answered by a `done` or a `refused` event with its id; `done` has what
 * was asked for.
 */
export function obeyCommands(node: GossipNode, input: Readable, write: Write, signal: AbortSignal): void {
  const lines = createInterface({ input });
  lines.on("line", (line) => void obey(node, line, write, signal));
  signal.addEventListener("abort", () => {
    lines.close();
    input.destroy();
  });
}

async function obey(node: GossipNode, line: string, write: Write, signal: AbortSignal): Promise<void> {
  let id: number | string | null = null;
  try {
    const command = parse(line);
    id = command.id ?? null;
    const answer = await run(node, command);
    if (!signal.aborted) write("done", null, { id, ...answer });
  } catch (error) {
    if (!signal.aborted) write("refused", null, { id, error: (error as Error).message });
  }
}

async function run(node: GossipNode, command: Command): Promise<Record<string, unknown>> {
  const { send, text, reliable, broadcast, members } = command;
  const encoder = new TextEncoder();
  if (members === true) return { view: node.members.map(viewOf) };
  if (typeof broadcast === "string") {
    node.broadcast(encoder.encode(broadcast));
  } else if (typeof send === "string" && typeof text === "string") {
    await node.send(send, encoder.encode(text), { reliable: reliable === true });
  } else {
    throw new Error('none of {"send":MEMBER,"text":TEXT}, {"broadcast":TEXT}, {"members":true}');
  }
  return {};
}

function viewOf(member: Member): Record<string, unknown> {
  return { ...memberJson(member), state: member.state, incarnation: member.incarnation };
}

function parse(line: string): Command {
  const command: unknown = JSON.parse(line);
  if (typeof command === "object" && command !== null) return command as Command;
  throw new Error("a command is a JSON object");
}
