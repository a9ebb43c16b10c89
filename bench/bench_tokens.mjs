// What a login with a token costs, with each algorithm: the same logins without tokens and with them, in turns.
import fs from "node:fs";
import path from "node:path";
import { makeKey, makeToken, now } from "../tests/scenario/lib/jwt.mjs";
import { onServer, withScratch } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

const CONNECTIONS = 50;
const ALGORITHMS = ["HS256", "RS256", "ES256", "EdDSA"]; // RS256 with 2,048 bits

const rate = (r) => r.logins / r.seconds;
const cost = (r) => (r.server_cpu_s * 1e6) / r.logins;

// The server's options, and the generator's: a key of its own, and a token for each user, made before the run.
function signed(alg, dir) {
  const key = makeKey(alg);
  const write = (name, text) => {
    const file = path.join(dir, `${alg}-${name}`);
    fs.writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const option = alg === "HS256" ? ["--token-secrets", write("secret", key.secret)] : ["--token-keys", write("public", key.publicPem)];
  const tokens = Array.from({ length: CONNECTIONS }, (_, i) => makeToken(key, { sub: `load-${i}`, exp: now() + 3600 }));
  return { options: ["--auth", "token", ...option], args: ["--token-file", write("tokens", `${tokens.join("\n")}\n`)] };
}

export const tokenParts = (seconds, interleaved) => [
  {
    name: "tokens: logins",
    run: () =>
      withScratch(async (dir) => {
        const timing = ["--duration", String(Math.max(seconds / 2, 0.1)), "--warmup", "0.5"];
        const args = ["--scenario", "logins", "--connections", String(CONNECTIONS), ...timing];
        const ways = ALGORITHMS.map((alg) => signed(alg, dir));
        const [none, ...sets] = await interleaved(() => onServer(args), ...ways.map((way) => () => onServer([...args, ...way.args], { options: way.options })));
        const rows = (name, reports) => [
          row("tokens: logins", `${name}: logins`, "/s", reports.map(rate), { of: "logins" }),
          row("tokens: logins", `${name}: logins a core of the server`, "/s", reports.map((r) => r.logins / r.server_cpu_s), { of: "logins a core" }),
          row("tokens: logins", `${name}: CPU a connect, upgrade and login`, "us", reports.map(cost), { of: "CPU" }),
        ];
        const more = (reports) => reports.map((r, i) => cost(r) - cost(none[i]));
        return [
          ...rows("without tokens", none),
          ...sets.flatMap((reports, i) => [
            ...rows(ALGORITHMS[i], reports),
            row("tokens: logins", `${ALGORITHMS[i]}: CPU of the token, the difference`, "us", more(reports), { of: "token", most: 200 }),
          ]),
        ];
      }),
  },
];
