// Elements and times as people read them. Texts become text nodes: nothing is parsed as HTML.

export const $ = (id) => document.getElementById(id);

// An element. Names that begin with "on" are handlers; other properties are attributes, left out if undefined or false.
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element[name] = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// Text for screen readers alone.
export const hidden = (text) => h("span", { class: "visually-hidden" }, text);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A circle with the first letter of the name, in a colour that the name has everywhere.
export function avatar(user) {
  const element = h("span", { class: "avatar", "aria-hidden": "true" }, user[0].toUpperCase());
  let hue = 0;
  for (const letter of user) hue = (hue * 31 + letter.charCodeAt(0)) % 360;
  element.style.setProperty("--hue", hue);
  return element;
}

// -- times --

const DAY_MS = 86400e3;
const format = (options) => new Intl.DateTimeFormat(undefined, options);
const clock = format({ hour: "2-digit", minute: "2-digit" });
const weekday = format({ weekday: "short" });
const date = format({ day: "numeric", month: "numeric", year: "2-digit" });
const day = format({ weekday: "long", day: "numeric", month: "long" });
const dayOfYear = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const full = format({ dateStyle: "full", timeStyle: "medium" });

// Midnight of the day, in the time zone of the page.
const midnight = (ms) => new Date(ms).setHours(0, 0, 0, 0);
const daysAgo = (ms) => Math.round((midnight(Date.now()) - midnight(ms)) / DAY_MS);

export const dayOf = (ts) => midnight(ts / 1000);
export const clockOf = (ts) => clock.format(ts / 1000);

export function dayName(ts) {
  const ago = daysAgo(ts / 1000);
  if (ago === 0 || ago === 1) return ago === 0 ? "Today" : "Yesterday";
  const isThisYear = new Date(ts / 1000).getFullYear() === new Date().getFullYear();
  return (isThisYear ? day : dayOfYear).format(ts / 1000);
}

export function timeElement(ts) {
  const at = new Date(ts / 1000);
  return h("time", { datetime: at.toISOString(), title: full.format(at) }, clock.format(at));
}

// For the list: the clock today, then the day of the week, then the date.
export function shortTime(ts) {
  const ago = daysAgo(ts / 1000);
  if (ago === 0) return clock.format(ts / 1000);
  return (ago > 0 && ago < 7 ? weekday : date).format(ts / 1000);
}
