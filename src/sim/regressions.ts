/** Seeds of the swarm scenario that once found a defect, and which. They run for ever. */
export const regressions: readonly { readonly seed: number; readonly nodes: number; readonly found: string }[] = [
  { seed: 58, nodes: 50, found: "a member that left, came back unheard and died was told as left, then failed" },
  {
    seed: 200820,
    nodes: 50,
    found: "one in quarantine whose ring successor had died probed it for ever, and stayed out",
  },
  { seed: 300197, nodes: 50, found: "two that joined through one in quarantine knew only each other, for ever" },
];
