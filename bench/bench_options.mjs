// The options of `./dev bench`: --peers, --hostile, --check or --cluster, and BENCH_RUNS, BENCH_SECONDS and BENCH_ONLY in the environment. A wrong one
// ends the program with 2.
const WAYS = ["--peers", "--hostile", "--check", "--cluster"];

function refuse(why) {
  console.error(`./dev bench: ${why}`);
  process.exit(2);
}

function only(text) {
  try {
    return new RegExp(text);
  } catch (error) {
    return refuse(`BENCH_ONLY must be a regular expression: ${error.message}`);
  }
}

export function readOptions(words, { BENCH_RUNS, BENCH_SECONDS = "3", BENCH_ONLY = "" }) {
  const unknown = words.find((word) => !WAYS.includes(word));
  if (unknown !== undefined) refuse(`${unknown} is no option; there are ${WAYS.join(", ")}`);
  const [withPeers, isHostile, isCheck, isCluster] = WAYS.map((way) => words.includes(way));
  if (words.length > 1) refuse(`${words.join(" and ")} exclude each other: run one after the other`);
  const runs = BENCH_RUNS ?? (isHostile ? "1" : "3");
  if (!/^[1-9]\d?$/.test(runs)) refuse(`BENCH_RUNS must be a whole number from 1 to 99, and is ${runs}`);
  if (!/^\d+(\.\d+)?$/.test(BENCH_SECONDS) || Number(BENCH_SECONDS) < 0.1) refuse(`BENCH_SECONDS must be at least 0.1, and is ${BENCH_SECONDS}`);
  return { runs: Number(runs), seconds: BENCH_SECONDS, only: only(BENCH_ONLY), withPeers, isHostile, isCheck, isCluster };
}
