// Key sets and tokens of the shape that identity providers publish, with keys of our own: members besides those that
// the server reads, keys for other purposes, several keys with kid, claims that are nested, users as they name them.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { before } from "node:test";
import { makeDataDir, removeDataDir, until } from "./lib/server.mjs";
import { scenario } from "./lib/harness.mjs";
import { makeKey, makeToken, now } from "./lib/jwt.mjs";

const UUID = "0f6a7c9e-91b4-4b7e-8d43-1a2b3c4d5e6f";
const certificate = { x5c: ["MIICmzCCAYMCBgGNpVn7ZzANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZtYXN0ZXI="], x5t: "Zm9v", "x5t#S256": "YmFy" };
let rsa, other, ec, ed;
before(() => ([rsa, other, ec, ed] = ["RS256", "RS256", "ES256", "EdDSA"].map(makeKey)));

// A server with this set must skip these keys, and log `user` in by a token with these claims. Tokens of another issuer or
// for another audience, signed by the same key, are refused.
function provider(name, make) {
  scenario(`the key set and the tokens of ${name}`, { shards: [2] }, async (harness) => {
    const { keys, skipped = "", iss, aud, claim = "sub", user, key, header, claims } = make();
    const dir = makeDataDir();
    try {
      const file = path.join(dir, "jwks.json");
      fs.writeFileSync(file, JSON.stringify({ keys }, null, 2), { mode: 0o644 });
      await harness.start({ options: ["--auth", "token", "--token-keys", file, "--token-issuer", iss, "--token-claim", claim, ...[aud].flat().flatMap((one) => ["--token-audience", one])] });
      const line = await harness.server.logLine("token_keys_loaded");
      assert.match(line, new RegExp(`skipped=${skipped === "" ? 0 : skipped.split(", ").length}\\b`));
      assert.ok(line.includes(skipped), line);
      const all = { iss, iat: now(), jti: "onrtac:4c1f", ...claims };
      const client = await harness.client();
      const reply = await client.request({ op: "login", token: makeToken(key, all, header) });
      assert.equal(reply.user, user, JSON.stringify(reply));
      for (const [claimsOfOthers, word] of [[{ ...all, iss: `${iss}x` }, /iss is http.*, not the issuer/], [{ ...all, aud: "another-app" }, /aud is another-app, not/], [{ ...all, aud: undefined }, /aud is missing/]]) {
        const stranger = await harness.client();
        assert.match((await stranger.error({ op: "login", token: makeToken(key, claimsOfOthers, header) }, "bad_token")).message, word);
        await until("the close", () => stranger.closed);
      }
      await harness.end();
    } finally {
      removeDataDir(dir);
    }
  });
}

provider("Keycloak: a key to encrypt with beside the keys for signatures, and nested roles", () => ({
  keys: [
    other.jwk({ kid: "enc-1", alg: "RSA-OAEP", use: "enc", ...certificate }),
    rsa.jwk({ kid: "sWc7lZ3X4yZ0", ...certificate }),
    other.jwk({ kid: "rs512", alg: "RS512", ...certificate }),
    other.jwk({ kid: "ps256", alg: "PS256", ...certificate }),
    { kid: "es384", kty: "EC", alg: "ES384", use: "sig", crv: "P-384", x: "AA", y: "AA" },
    { kid: "ed448", kty: "OKP", alg: "EdDSA", use: "sig", crv: "Ed448", x: "AA" },
    ec.jwk({ kid: "es256", ...certificate }),
    ed.jwk({ kid: "ed25519" }),
  ],
  skipped: "enc-1 (use enc), rs512 (alg RS512), ps256 (alg PS256), es384 (crv P-384), ed448 (crv Ed448)",
  iss: "https://sso.example/realms/chat",
  aud: "account",
  claim: "preferred_username",
  user: "juergen",
  key: rsa,
  header: { kid: "sWc7lZ3X4yZ0" },
  claims: {
    sub: UUID, aud: ["realm-management", "account"], auth_time: now(), typ: "Bearer", azp: "chat-web", sid: UUID, acr: "1", "allowed-origins": ["*"],
    realm_access: { roles: ["offline_access", "default-roles-chat"] }, resource_access: { account: { roles: ["manage-account"] }, "realm-management": { roles: ["view-users"] } },
    authorization: { permissions: [{ scopes: ["chat"], rsid: UUID, rsname: "chat" }] }, scope: "openid email profile", email_verified: true, name: "Jürgen 🎉 \"J\"", preferred_username: "juergen",
  },
}));

provider("Auth0: two keys with certificates, an access token for an API, a user with a vertical bar", () => ({
  keys: [rsa.jwk({ kid: "MjQ5NzRDQjE", ...certificate }), other.jwk({ kid: "RUVBOTVEMEZ", ...certificate })],
  iss: "https://tenant.eu.auth0.com/",
  aud: "https://chat.example/api",
  user: "auth0|5f7c8ec7c33c6c004bbafe82",
  key: other,
  header: { typ: "at+jwt", kid: "RUVBOTVEMEZ" },
  claims: { sub: "auth0|5f7c8ec7c33c6c004bbafe82", aud: ["https://chat.example/api", "https://tenant.eu.auth0.com/userinfo"], azp: "app", scope: "openid profile", permissions: [] },
}));

provider("Firebase: three keys, more than a token without kid may be tried with", () => ({
  keys: [other.jwk({ kid: "d9f5a1" }), rsa.jwk({ kid: "b3e2c7" }), other.jwk({ kid: "77aa01" })],
  iss: "https://securetoken.google.com/my-project",
  aud: "my-project",
  user: "xK9dP2mQ7rS4tU6vW8yZ0aB1cD3e",
  key: rsa,
  header: { kid: "b3e2c7" },
  claims: { sub: "xK9dP2mQ7rS4tU6vW8yZ0aB1cD3e", user_id: "xK9dP2mQ7rS4tU6vW8yZ0aB1cD3e", aud: "my-project", auth_time: now(), email: "a@example.org", email_verified: false, firebase: { identities: { "google.com": ["1035"], email: ["a@example.org"] }, sign_in_provider: "password" } },
}));

provider("Cognito: two app clients, two keys whose kid is base64, an ID token of more than 6 KiB", () => ({
  keys: [rsa.jwk({ kid: "abcdefg+/hijk=" }), other.jwk({ kid: "mnop+qrst=" })],
  iss: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf",
  aud: ["1example23456789", "3n4b5urk1ft4fl3mg5e62d9ado"],
  claim: "cognito:username",
  user: UUID,
  key: rsa,
  header: { kid: "abcdefg+/hijk=" },
  claims: { sub: UUID, aud: "3n4b5urk1ft4fl3mg5e62d9ado", token_use: "id", "cognito:username": UUID, "cognito:groups": Array.from({ length: 330 }, (_, i) => `group-${1000 + i}`), identities: [{ userId: "1", providerName: "Google", primary: "true" }], auth_time: now() },
}));

provider("Entra ID: keys without alg, times with a fraction, members of the header that nobody asked for", () => ({
  keys: [other, rsa].map((key, at) => ({ ...key.jwk({ kid: `key-${at}`, ...certificate, issuer: "https://login.microsoftonline.com/{tenantid}/v2.0", cloud_instance_name: "microsoftonline.com" }), alg: undefined })),
  iss: `https://login.microsoftonline.com/${UUID}/v2.0`,
  aud: "6731de76-14a6-49ae-97bc-6eba6914391e",
  user: "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
  key: rsa,
  header: { kid: "key-1", x5t: "key-1", nonce: "AQABAAAAAAD", cty: "JWT" },
  claims: { sub: "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", aud: "6731de76-14a6-49ae-97bc-6eba6914391e", exp: now() + 600.5, iat: now() + 0.25, nbf: now() + 0.75, ver: "2.0", xms_ft: null },
}));
