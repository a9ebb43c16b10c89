// The web client without a browser: its files and its policy.
import assert from "node:assert/strict";

// The directives of a Content-Security-Policy: name -> values.
export function directivesOf(policy) {
  return Object.fromEntries(policy.split("; ").map((text) => [text.split(" ")[0], text.split(" ").slice(1)]));
}

// The policy allows the server's own files and connections, and no code or style that stands in the HTML or is made of text.
export function assertPageIsAllowed(html, policy) {
  assert.deepEqual(directivesOf(policy), {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'"],
    "connect-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'none'"],
    "frame-ancestors": ["'none'"],
    "require-trusted-types-for": ["'script'"],
    "trusted-types": ["'none'"],
  });
  assert.doesNotMatch(html, /<style|<script(?! type="module" src=)|<[a-z][^>]*\s(on[a-z]+|style)\s*=/i);
}

// Loads what a page needs: the files that the HTML names, and the modules that these import. `load(url)` gives
// { status, headers, body }. Returns url -> what was loaded. All of them are beside the page.
export async function filesOf(pageUrl, load) {
  const files = new Map();
  const wanted = [pageUrl];
  for (const url of wanted) {
    if (files.has(url)) continue;
    assert.equal(new URL(".", url).href, new URL(".", pageUrl).href, `${url} is beside the page`);
    const file = await load(url);
    assert.equal(file.status, 200, url);
    files.set(url, file);
    const names = [...file.body.matchAll(/\s(?:src|href)="([^"#]+)"|^(?:import|export) [^;"=(]*from "([^"]+)"/gm)].map(([, inHtml, inModule]) => inHtml ?? inModule);
    for (const name of names) {
      assert.match(name, /^(\.\/)?[\w-]+\.\w+$/, `${url} names a file beside it`);
      wanted.push(new URL(name, url).href);
    }
  }
  return files;
}
