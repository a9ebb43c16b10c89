// The web client: who is logged in, and what is shown. chats.js has the conversations, chitchat.js speaks with the server.
import { Chats } from "./chats.js";
import { Client, IndexedDBStorage, isUserName } from "./chitchat.js";
import { Composer } from "./composer.js";
import { $, avatar, setText } from "./dom.js";
import { countText, ListView } from "./list.js";
import { ThreadView } from "./thread.js";

const REPLAY_MAX = 500; // the rest of what was missed comes from the history, when it is read
const QUIET_MS = 1000; // a connection that is back so soon is not worth a word
const NO_NAME = "A name has no blanks, accents, quotes or backslashes.";
const hasPointer = () => matchMedia("(pointer: fine)").matches;

const url = new URL("ws", location.href); // beside the page, also under a path prefix
url.protocol = url.protocol.replace("http", "ws");

const thread = new ThreadView((item) => composer.edit(item.text));
const composer = new Composer(() => thread.toEnd());
const views = [new ListView(), thread, composer];
let session = null; // { client, chats }: of the user who is logged in

// -- the account: of this tab, and the newest one for new tabs --

const KEY = `chitchat ${location.pathname}`;

// A storage of the browser. What it does not take, since it is full or forbidden, is kept as long as the page.
function storeOf(name) {
  const own = new Map();
  const attempt = (work) => {
    try {
      return work(globalThis[name]);
    } catch {
      return null;
    }
  };
  return {
    get: (key) => own.get(key) ?? attempt((store) => store.getItem(key)),
    set(key, value) {
      own.set(key, value);
      const isKept = attempt((store) => (store.setItem(key, value), own.delete(key)));
      if (!isKept) attempt((store) => store.removeItem(key)); // the value before would come back with a reload
    },
    remove(key) {
      own.delete(key);
      attempt((store) => store.removeItem(key));
    },
  };
}

const ofTab = storeOf("sessionStorage");
const ofAll = storeOf("localStorage");

const account = {
  load: () => [ofTab, ofAll].map((store) => JSON.parse(store.get(KEY))).find((found) => found !== null),
  save: (value) => [ofTab, ofAll].forEach((store) => store.set(KEY, JSON.stringify(value))),
  // false: this tab has none, whatever others have.
  leave: () => ofTab.set(KEY, "false"),
  forget() {
    if (ofAll.get(KEY) === ofTab.get(KEY)) ofAll.remove(KEY);
    this.leave();
  },
};

// -- tokens --

// The first token is the one that the user gave at the login; each later one they are asked for.
function tokensOf(saved) {
  let isFirst = true;
  return () => {
    if (isFirst) return (isFirst = false), saved.token;
    return new Promise((resolve) => {
      $("renew").hidden = false;
      setText($("renew").querySelector("label"), "Your token ends soon, or has ended. A new one:");
      $("renew").onsubmit = (event) => {
        event.preventDefault();
        $("renew").hidden = true;
        saved.token = $("new-token").value.trim();
        $("new-token").value = "";
        account.save(saved);
        resolve(saved.token);
      };
    });
  };
}

// Whose token it is: the server says that.
function userOf(token) {
  const client = new Client({ url: url.href, token: () => token });
  return new Promise((resolve, reject) => {
    client.on("login", ({ user }) => resolve(user));
    client.on("state", ({ state, reason }) => (state === "stopped" || state === "waiting") && reject(new Error(reason)));
    client.start();
  }).finally(() => client.stop());
}

// -- login and logout --

function showLogin(problem = "", user = "", needsToken = false) {
  $("app").hidden = true;
  $("welcome").hidden = false;
  $("user").value = user;
  $("token").value = "";
  $("with-token").open = needsToken;
  setText($("login-problem"), problem);
  document.title = "chitchat";
  $(needsToken ? "token" : "user").focus();
}

$("login").onsubmit = async (event) => {
  event.preventDefault();
  let user = $("user").value.trim();
  const token = $("token").value.trim();
  try {
    $("log-in").disabled = true;
    if (user === "" && token !== "") user = await userOf(token);
  } catch (error) {
    $("token").focus();
    return setText($("login-problem"), `The token was not accepted: ${error.message}`);
  } finally {
    $("log-in").disabled = false;
  }
  if (!isUserName(user)) return setText($("login-problem"), user === "" ? "Give a name, or a token." : NO_NAME);
  const saved = token === "" ? { user } : { user, token };
  account.save(saved);
  begin(saved);
  // The focus was in the form, which is gone.
  if (!session.chats.current && hasPointer()) $("peer").focus();
};

function begin(saved) {
  const storage = new IndexedDBStorage(`${location.pathname} ${saved.user}`);
  const client = new Client({ url: url.href, user: saved.user, token: saved.token && tokensOf(saved), storage, replayMax: REPLAY_MAX });
  const chats = new Chats(client, storage);
  session = { client, chats };
  for (const view of views) view.use(chats);
  chats.onChange = renderSoon;
  chats.onIncoming = notify;
  client.on("state", (event) => onState(saved, event));
  setText($("my-name"), saved.user);
  $("me").replaceChildren(avatar(saved.user));
  $("welcome").hidden = true;
  $("app").hidden = false;
  client.start();
  openFromHash();
}

// Leaves the user; what is stored of them stays. The page keeps nothing of them.
async function end() {
  const { client, chats } = session;
  session = null;
  chats.stop();
  for (const view of views) view.use(chats);
  setText($("my-name"), "");
  $("me").replaceChildren();
  $("new-token").value = "";
  $("renew").hidden = true;
  hideBanner();
  history.replaceState(null, "", location.pathname + location.search);
  await client.stop();
}

$("log-out").onclick = async () => {
  const { client } = session;
  account.forget();
  await end();
  const problem = await client.logout().then(() => "", ({ message }) => `The browser did not delete what it may have stored: ${message}`);
  showLogin(problem);
};

$("switch").onclick = async () => {
  account.leave();
  await end();
  showLogin();
};

// -- the connection --

const STATES = { live: "Connected", replay: "Catching up …", waiting: "Not connected", stopped: "Not connected" };

let bannerTimer = 0; // since there is no connection: attempts that take long do not begin it anew

function onState(saved, { state, code, reason }) {
  if (!session) return;
  setText($("state"), STATES[state] ?? "Connecting …");
  $("state").className = state;
  if (session.chats.isConnected()) hideBanner();
  else if (state === "stopped") onStopped(saved, code, reason);
  else bannerTimer ||= setTimeout(showBanner, QUIET_MS, "There is no connection. What you write is sent when it is back.");
}

function onStopped(saved, code, reason) {
  hideBanner();
  const isRefused = ["bad_token", "no_token", "bad_request", 4101].includes(code);
  if (!isRefused && code !== "logout") return showBanner(`Stopped: ${reason}.`);
  if (code === "logout") account.forget();
  else account.leave();
  end();
  if (code === "logout") showLogin("Another tab has logged out.");
  else if (saved.token === undefined && code === "bad_token") showLogin("This server wants a token.", saved.user, true);
  else showLogin(`${reason}.`, saved.user, code !== "bad_request" || saved.token === undefined);
}

function hideBanner() {
  clearTimeout(bannerTimer);
  bannerTimer = 0;
  $("banner").hidden = true;
}

function showBanner(text) {
  setText($("banner-text"), text);
  $("banner").hidden = false;
}

$("banner-button").onclick = () => {
  const { client, chats } = session;
  if (client.state === "stopped") client.start();
  else client.wake();
  $(chats.current ? "text" : "peer").focus();
};

// -- which conversation is open: the fragment of the URL says it --

function openFromHash() {
  if (!session) return;
  let user = null;
  try {
    user = decodeURIComponent(location.hash.slice(1));
  } catch {
    // no name
  }
  const before = session.chats.current;
  document.body.dataset.view = isUserName(user) ? "thread" : "list";
  session.chats.open(isUserName(user) ? user : null);
  render();
  if (!isUserName(user)) return before && views[0].focus(before);
  // A touch screen would show its keyboard over the messages.
  $(hasPointer() ? "text" : "peer-name").focus();
}

addEventListener("hashchange", openFromHash);

$("start").onsubmit = (event) => {
  event.preventDefault();
  const user = $("peer").value.trim();
  const isName = isUserName(user);
  setText($("start-problem"), isName || user === "" ? "" : NO_NAME);
  if (!isName) return;
  $("peer").value = "";
  if (location.hash.slice(1) === encodeURIComponent(user)) openFromHash();
  else location.hash = encodeURIComponent(user);
};

// -- showing --

let renderTimer = 0;

// Once for many changes. Not by animation frames: a page in the background has none, and its title counts.
function renderSoon() {
  renderTimer ||= setTimeout(render);
}

function render() {
  clearTimeout(renderTimer);
  renderTimer = 0;
  if (!session) return;
  for (const view of views) view.render();
  const unseen = session.chats.unseen();
  document.title = unseen > 0 ? `(${countText(unseen)}) chitchat` : "chitchat";
}

// Names of days and times of the list grow old.
setInterval(render, 60e3);

// -- notifications --

const WANTED = `${KEY} notify`;
const canNotify = () => globalThis.Notification?.permission === "granted" && ofAll.get(WANTED) !== null;

function renderNotify() {
  const isBlocked = globalThis.Notification?.permission === "denied";
  $("notify").setAttribute("aria-pressed", canNotify());
  setText($("notify"), `Notifications: ${isBlocked ? "blocked by the browser" : canNotify() ? "on" : "off"}`);
}

$("notify").hidden = !globalThis.Notification;
$("notify").onclick = async () => {
  if (canNotify()) ofAll.remove(WANTED);
  else if ((await Notification.requestPermission()) === "granted") ofAll.set(WANTED, "yes");
  renderNotify();
};

function notify(it, { text }) {
  if (!canNotify() || (document.visibilityState === "visible" && document.hasFocus())) return;
  try {
    const shown = new Notification(it.user, { body: text.slice(0, 200), tag: `${KEY} ${it.user}`, icon: "icon.svg" });
    shown.onclick = () => {
      focus();
      location.hash = encodeURIComponent(it.user);
      shown.close();
    };
  } catch {
    // Chrome on Android wants a service worker for this.
  }
}

// -- the menu --

addEventListener("click", ({ target }) => target.closest("#menu summary") || ($("menu").open = false));
addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  if ($("menu").open) $("menu").querySelector("summary").focus();
  $("menu").open = false;
});

renderNotify();
const saved = account.load();
if (saved) begin(saved);
else showLogin();
