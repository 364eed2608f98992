import type { GossipOptions } from "../../src/config.js";
import { GossipNode } from "../../src/node.js";

/** What the bench asks of this process: to be the host of nodes that it will then stop with SIGSTOP. */
export interface HostRequest {
  readonly seedAddress: string;
  readonly nodes: readonly GossipOptions[];
}

/** What this process tells: all have joined, or one took another for failed. */
export type HostReport = { readonly joined: number } | { readonly failed: string };

/** Runs only as a child: a stopped process keeps its sockets and neither reads nor answers. */
process.once("message", (request: HostRequest) => {
  void host(request);
});
process.once("disconnect", () => process.exit());

async function host({ seedAddress, nodes }: HostRequest): Promise<void> {
  const report = (message: HostReport): void => {
    process.send?.(message);
  };
  for (const options of nodes) {
    const keys = options.keys?.map((key) => new Uint8Array(key)) ?? [];
    const node = await GossipNode.create({ ...options, keys });
    node.on("fail", ({ name }) => report({ failed: name }));
    await node.join([seedAddress]);
  }
  report({ joined: nodes.length });
}
