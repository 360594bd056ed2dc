// Keys, and live parts that never move what is under the pointer or has the focus. Without it every page works as it is.
"use strict";
(() => {
  const said = document.getElementById("said");
  const typing = (el) => el && (el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)) && el.type !== "checkbox";
  const rows = () => [...document.querySelectorAll("[data-row]")];
  let current = null;

  function choose(row) {
    if (!row) return;
    current?.classList.remove("current");
    current = row;
    row.classList.add("current");
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  function step(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(current);
    choose(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]);
  }
  // A decision is about the rows that are chosen; if none is, about the current one.
  function mark() {
    const boxes = [...document.querySelectorAll("[data-row] input[type=checkbox]")];
    if (!boxes.some((box) => box.checked) && current) {
      const box = current.querySelector("input[type=checkbox]");
      if (box) box.checked = true;
    }
    return !boxes.length || boxes.some((box) => box.checked);
  }
  const act = {
    j: () => step(1), k: () => step(-1), ArrowDown: null, ArrowUp: null,
    Enter: () => current?.querySelector("a.open")?.click(),
    x: () => { const box = current?.querySelector("input[type=checkbox]"); if (box) box.checked = !box.checked; },
    a: () => mark() ? document.querySelector("[data-key=a]")?.click() : tell("choose a row first: j, k"),
    s: () => mark() ? document.querySelector("[data-key=s]")?.focus() : tell("choose a row first: j, k"),
    c: () => mark() ? document.querySelector("[data-key=c]")?.focus() : tell("choose a row first: j, k"),
    "/": () => document.querySelector("input[type=search]")?.focus(),
    "?": () => document.getElementById("keys")?.showModal(),
  };
  const sections = { n: "/", a: "/alerts", i: "/incidents", s: "/sources", r: "/releases", d: "/delivery" };
  let going = false;
  const tell = (text) => { said.textContent = ""; setTimeout(() => { said.textContent = text; }, 50); };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (event.key === "Enter" && event.target.matches?.("select[data-key]")) {
      event.preventDefault();
      event.target.closest("fieldset").querySelector("button").click();
      return;
    }
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
    if (going) {
      going = false;
      if (sections[event.key]) { event.preventDefault(); location.assign(sections[event.key]); }
      return;
    }
    if (event.key === "g") { going = true; setTimeout(() => { going = false; }, 1500); return; }
    if (act[event.key]) { event.preventDefault(); act[event.key](); }
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("[data-row]");
    if (row && row !== current) { current?.classList.remove("current"); current = row; row.classList.add("current"); }
  });
  document.querySelectorAll("[data-all]").forEach((box) => box.addEventListener("change", () => {
    document.querySelectorAll("[data-row] input[type=checkbox]").forEach((each) => { each.checked = box.checked; });
  }));

  // Live parts: the page is fetched again; a part that differs is exchanged unless somebody is in it.
  const seconds = Number(document.body.dataset.live);
  if (!seconds) return;
  const busy = (part) => part.matches(":hover") || part.contains(document.activeElement)
    || part.querySelector("input:checked, details[open] input") || (!getSelection().isCollapsed && part.contains(getSelection().anchorNode));
  const held = new Map();
  const plain = (part) => part.outerHTML.replace(/ (class|tabindex)="[^"]*"/g, "");
  function exchange(id) {
    const part = document.getElementById(id), fresh = held.get(id);
    if (!part || !fresh) return;
    held.delete(id);
    part.replaceWith(document.importNode(fresh, true));
    document.getElementById(`fresh-${id}`)?.remove();
  }
  function offer(part) {
    if (document.getElementById(`fresh-${part.id}`)) return;
    const button = document.createElement("button");
    button.type = "button"; button.id = `fresh-${part.id}`; button.className = "fresh main"; button.textContent = "Show what is new";
    button.addEventListener("click", () => exchange(part.id));
    // below the part, so that nothing in it moves
    part.after(button);
  }
  async function look() {
    if (document.hidden) return;
    let answer;
    try {
      answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
    } catch { tell("the console does not answer"); document.body.dataset.lost = "yes"; return; }
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) { tell("the console does not answer"); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const changed = [];
    for (const part of document.querySelectorAll("[data-part]")) {
      const other = fresh.getElementById(part.id);
      if (!other || plain(other) === plain(part)) continue;
      held.set(part.id, other);
      const before = part.querySelector(".count, #banner-word")?.textContent, after = other.querySelector(".count, #banner-word")?.textContent;
      if (before !== after) changed.push(`${other.querySelector("h2")?.textContent.trim().replace(/\s+/g, " ")}`);
      if (busy(part)) { if (before !== after) offer(part); } else exchange(part.id);
    }
    if (changed.length) tell(`changed: ${changed.join("; ")}`);
  }
  setInterval(look, seconds * 1000);
  // whoever comes back to the page sees it as it is now
  document.addEventListener("visibilitychange", look);
})();
