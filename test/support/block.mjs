// Preloaded into an agent: on SIGUSR2 its JavaScript does nothing but this for CHAOS_BLOCK_MS milliseconds.
const blockMs = Number(process.env.CHAOS_BLOCK_MS);

process.on("SIGUSR2", () => {
  console.log(JSON.stringify({ event: "blocked", member: null }));
  const endMs = performance.now() + blockMs;
  while (performance.now() < endMs);
  console.log(JSON.stringify({ event: "unblocked", member: null }));
});
