// The web client: one page, one connection.
const $ = (id) => document.getElementById(id);
const box = $("messages");

let socket = null; // the connection, while there is one
let user = ""; // the user who is logged in or asked for it
let token = ""; // of this user, where the server asks for one
let cursor, epoch; // the newest ts that we got, and the data set it belongs to; undefined before the first login
let older = null; // the bound for older history; null when there is none
let attempts = 0, timer = 0, nextId = 1;
const asked = new Map(); // id -> the function that takes the reply
const unsent = new Map(); // key -> a send without a reply, to be sent again with the same key
const shown = new Set(); // every ts

function setState(text, kind) {
  $("state").textContent = text;
  $("state").className = kind || "";
  for (const id of ["to", "text", "submit"]) $(id).disabled = kind !== "good";
  $("older").disabled = kind !== "good" || older === null;
  $("leave").disabled = user === "";
}
function place(element, before) {
  const down = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  box.insertBefore(element, before || null);
  if (down) box.scrollTop = box.scrollHeight;
  return element;
}
function note(text, bad) {
  const element = document.createElement("div");
  element.className = bad ? "note bad" : "note";
  element.textContent = text;
  place(element);
}
function build(message) {
  const element = document.createElement("div");
  const head = document.createElement("small");
  element.className = "message" + (message.from === user ? " mine" : "") + (message.ts ? "" : " waiting");
  const time = message.ts ? new Date(message.ts / 1000).toLocaleString() : "being sent";
  head.textContent = `${message.from} → ${message.to} · ${time}`;
  element.append(head, message.text);
  return element;
}
function show(message) {
  if (shown.has(message.ts)) return;
  const element = build(message);
  element.dataset.ts = message.ts;
  place(element, [...box.children].find((other) => Number(other.dataset.ts) > message.ts));
  shown.add(message.ts);
}
function request(fields, onReply) {
  const id = nextId++;
  asked.set(id, onReply);
  socket.send(JSON.stringify({ ...fields, id }));
}

// Every entry names the one before it: if that is not the newest that we have, something is missing.
function advance(entry) {
  if (entry.prev === cursor) return (cursor = entry.ts), true;
  note(`a gap: expected the entry after ${cursor}, got the one after ${entry.prev}; asking again`, true);
  socket.close(4000);
  onClose({ code: 4000 });
}
function fetchHistory(before) {
  request(before ? { op: "history", before } : { op: "history" }, (reply) => {
    if (reply.op !== "history") return note(`history: ${reply.message}`, true);
    reply.messages.forEach(show);
    if (before) box.scrollTop = 0;
    older = reply.more ? reply.next : null;
    $("older").disabled = older === null;
  });
}
function transmit(key) {
  const { message, element } = unsent.get(key);
  request({ op: "send", to: message.to, text: message.text, key }, (reply) => {
    const from = socket;
    if (reply.retry_after !== undefined) return setTimeout(() => socket === from && transmit(key), reply.retry_after);
    if (reply.code === "unavailable") return note("nobody knows whether it was stored: reconnect to send it again", true);
    if (reply.op === "error") note(`not sent: ${reply.message} (${reply.code})`, true);
    else if (reply.dup || advance(reply)) show({ ...message, ts: reply.ts });
    else return;
    unsent.delete(key);
    element.remove();
  });
}
function onLogin(reply) {
  if (reply.op === "error") return disconnect(`${reply.message} (${reply.code})`);
  if (reply.reset) clear("the server holds another data set: starting afresh");
  if (reply.first > cursor) clear("older messages are gone from the server"), (cursor = reply.first);
  if (cursor === undefined) (cursor = reply.last), fetchHistory();
  epoch = reply.epoch;
  attempts = 0;
  setState(`${user}, connected`, "good");
  unsent.forEach((value, key) => transmit(key));
}
function clear(why) {
  box.replaceChildren(...[...unsent.values()].map((value) => value.element));
  shown.clear();
  cursor = undefined;
  older = null;
  if (why) note(why);
}
function onFrame(event) {
  const frame = JSON.parse(event.data);
  const onReply = asked.get(frame.id);
  asked.delete(frame.id);
  if (frame.op === "msg") advance(frame) && show(frame);
  else if (onReply) onReply(frame);
  else if (frame.op === "error") note(`${frame.message} (${frame.code})`, true);
}
function connect() {
  setState("connecting …");
  const url = new URL("ws", location.href); // beside the page, also under a path prefix
  url.protocol = url.protocol.replace("http", "ws");
  const opened = socket = new WebSocket(url.href, "chitchat.v1");
  opened.onopen = () => request({ op: "login", user, ...(token && { token }), ...(cursor === undefined ? {} : { after: cursor, epoch }) }, onLogin);
  opened.onmessage = (event) => opened === socket && onFrame(event);
  opened.onclose = (event) => opened === socket && onClose(event);
}
function onClose(event) {
  socket = null;
  asked.clear();
  if ([1002, 1003, 1007, 1009, 4101, 4201].includes(event.code)) return disconnect(`closed: ${event.reason || event.code}`);
  const wait = Math.random() * Math.min(30000, 500 * 2 ** attempts++);
  setState(`connection lost (${event.code}); again in ${(wait / 1000).toFixed(1)} s`, "bad");
  timer = setTimeout(connect, wait);
}
function disconnect(why) {
  const closing = socket;
  clearTimeout(timer);
  socket = null;
  user = "";
  asked.clear();
  if (closing) closing.close(1000);
  setState(why || "not connected", why && "bad");
}

$("login").onsubmit = (event) => {
  event.preventDefault();
  const wanted = $("user").value;
  disconnect();
  if (wanted !== box.dataset.user) unsent.clear(), clear();
  user = box.dataset.user = wanted;
  token = $("token").value.trim();
  attempts = 0;
  connect();
};

$("send").onsubmit = (event) => {
  event.preventDefault();
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const message = { from: user, to: $("to").value, text: $("text").value };
  unsent.set(key, { message, element: place(build(message)) });
  $("text").value = "";
  transmit(key);
};

$("leave").onclick = () => disconnect();
$("older").onclick = () => fetchHistory(older);
setState("not connected");
