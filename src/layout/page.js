// The interactive picture: hover, click, keys, search, and the selected address in the URL of the page.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const sides = { a: data };
  if (data.with) sides.b = data.with;
  const detail = document.getElementById("detail");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const hex = (text) => BigInt(text);
  const show = (address) => "0x" + address.toString(16);
  const element = (side, index) => document.getElementById(side + index);
  let selected = null;

  const regionAt = (side, address) =>
    sides[side].regions.findIndex(({ range }) => hex(range[0]) <= address && address < hex(range[1]));

  // The other region of a pair.
  const partner = (side, index) => {
    const pair = (data.pairs || []).find((pair) => (side === "a" ? pair.left : pair.right) === index);
    const other = pair && (side === "a" ? pair.right : pair.left);
    return { pair, other: other === null || other === undefined ? null : [side === "a" ? "b" : "a", other] };
  };

  const add = (parent, name, text, kind) => {
    const child = document.createElement(name);
    if (text !== undefined) child.textContent = text;
    if (kind) child.className = kind;
    parent.append(child);
    return child;
  };

  const size = (bytes) => {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = 0;
    for (let rest = bytes; rest >= 1024n && unit < 6; rest /= 1024n) unit += 1;
    const tenths = (bytes * 10n) >> BigInt(10 * unit);
    return tenths / 10n + (tenths % 10n ? "." + (tenths % 10n) : "") + " " + units[unit];
  };

  const words = (name) => ({
    "file": "the segment's bytes", "beside": "beside the segment, because whole pages are mapped",
    "zeroed-tail": "zeroed tail of the page: where the bss begins", "bss": "bss: anonymous zeros",
    "rounding": "zeros to the end of the page", "heap": "heap", "stack-room": "room to grow down into",
    "stack-tables": "argc, argv, envp, auxiliary vector", "stack-random": "16 random bytes (AT_RANDOM)",
    "stack-gap": "platform name, random gap", "arguments": "argument strings", "environment": "environment strings",
    "stack-path": "path (AT_EXECFN), a null word",
  })[name] || "";

  const rows = (list, entries) => {
    for (const [name, value, kind] of entries) {
      if (value === null || value === undefined || value === "") continue;
      add(list, "dt", name);
      add(list, "dd", value, kind || "code");
    }
  };

  // Shows everything about a region, and about the requested address in it.
  const describe = (side, index, address) => {
    const layout = sides[side];
    const region = layout.regions[index];
    const [start, end] = region.range.map(hex);
    const file = region.file === null ? null : layout.files[region.file];
    detail.replaceChildren();
    add(detail, "h2", region.label + (data.with ? " (" + layout.subject + ")" : ""));
    if (region.permissions.includes("wx")) add(detail, "p", "Writable and executable at once.", "loud");
    const list = add(detail, "dl");
    rows(list, [
      ["range", start.toString(16) + "-" + end.toString(16)],
      ["size", size(end - start)],
      ["mode", region.permissions + (region.shared ? "s" : "p")],
      ["file", file ? file.path : region.name],
      ["header", region.header === null ? null : "PT_LOAD " + region.header],
      ["offset", region.offset === null ? null : region.offset + "-" + show(hex(region.offset) + end - start)],
      ["bias", file ? file.bias : null],
    ]);
    if (address !== undefined) where(layout, region, file, address);
    add(detail, "p", region.why, "why");
    changes(side, index);
    inside(layout, region, file, start, end);
    document.body.dataset.shown = side + index;
  };

  const where = (layout, region, file, address) => {
    add(detail, "h2", "At " + show(address));
    const list = add(detail, "dl");
    const piece = region.pieces.find(({ range }) => hex(range[0]) <= address && address < hex(range[1]));
    const vaddr = file ? (address - hex(file.bias)) & 0xffffffffffffffffn : null;
    const section = file && file.sections.filter((section) => section.allocated && section.name !== ".tbss" &&
      hex(section.vaddr) <= vaddr && vaddr < hex(section.vaddr) + hex(section.size)).pop();
    const zeroed = piece && piece.content === "zeroed-tail";
    rows(list, [
      ["section", section ? section.name + "+" + show(vaddr - hex(section.vaddr)) : null],
      ["offset", region.offset === null || zeroed ? null : show(hex(region.offset) + address - hex(region.range[0]))],
      ["in file", vaddr === null ? null : "address " + show(vaddr)],
      ["page", "byte " + show(address % BigInt(layout.page_size)) + " of " + layout.page_size],
      ["which is", piece ? words(piece.content) : null, "free"],
    ]);
  };

  const changes = (side, index) => {
    const { pair } = partner(side, index);
    if (!pair) return;
    const list = add(detail, "dl");
    const alone = pair.left === null || pair.right === null;
    rows(list, [
      ["beside it", alone ? "nothing: it is only here" : pair.changes.join("; ") || "the same", "free"],
      ["moved", pair.moved],
    ]);
  };

  const inside = (layout, region, file, start, end) => {
    const pointers = layout.pointers.filter(({ address }) => hex(address) >= start && hex(address) < end);
    const sections = !file ? [] : file.sections.filter((section) => {
      const at = (hex(section.vaddr) + hex(file.bias)) & 0xffffffffffffffffn;
      return section.allocated && at >= start && at < end;
    });
    const lists = [
      ["Points here", pointers.map(({ name, address, meaning }) => name + " " + address + (meaning ? ", " + meaning : ""))],
      ["Holds", region.pieces.filter(({ content }) => words(content)).map(({ range, content, relro }) =>
        hex(range[0]).toString(16) + "-" + hex(range[1]).toString(16) + " " + words(content) + (relro ? ", RELRO" : ""))],
      ["Sections", sections.map(({ name, size: bytes }) => name + ", " + size(hex(bytes)))],
    ];
    for (const [title, lines] of lists) {
      if (!lines.length) continue;
      add(detail, "h2", title);
      const list = add(detail, "ol");
      for (const line of lines.reverse()) add(list, "li", line, "code");
    }
  };

  const mark = (side, index, address) => {
    for (const other of Object.keys(sides)) document.getElementById("marker-" + other).setAttribute("visibility", "hidden");
    const box = element(side, index).querySelector(".box");
    const [start, end] = sides[side].regions[index].range.map(hex);
    const share = Number(((address - start) * 10000n) / (end - start)) / 10000;
    const y = Number(box.getAttribute("y")) + Number(box.getAttribute("height")) * (1 - share);
    const marker = document.getElementById("marker-" + side);
    marker.setAttribute("transform", "translate(0 " + y.toFixed(1) + ")");
    marker.setAttribute("visibility", "visible");
  };

  const select = (side, index, address, scroll) => {
    document.querySelectorAll(".region.selected").forEach((region) => region.classList.remove("selected"));
    selected = [side, index, address];
    const { other } = partner(side, index);
    for (const each of [[side, index], other]) if (each) element(...each).classList.add("selected");
    describe(side, index, address);
    mark(side, index, address === undefined ? hex(sides[side].regions[index].range[0]) : address);
    document.body.dataset.selected = side + index;
    if (scroll) element(side, index).scrollIntoView({ block: "nearest", inline: "nearest" });
  };

  // Goes to an address on any side, or reports that nothing is mapped there.
  const go = (address) => {
    for (const side of Object.keys(sides)) {
      const index = regionAt(side, address);
      if (index >= 0) {
        select(side, index, address, true);
        found.textContent = "";
        return;
      }
    }
    found.textContent = "nothing is mapped at " + show(address);
    delete document.body.dataset.selected;
  };

  const parse = (text) => (/^(0x)?[0-9a-f]{1,16}$/i.test(text) ? BigInt("0x" + text.replace(/^0x/i, "")) : null);
  const fromHash = () => {
    const address = parse(decodeURIComponent(location.hash.slice(1)));
    if (address !== null) go(address);
  };
  const toHash = (address) => {
    if (location.hash === "#" + show(address)) go(address);
    else location.hash = show(address);
  };

  // The regions whose name, file, sections or pointers contain the text.
  const matches = (text) => {
    const wanted = text.toLowerCase();
    const has = (value) => value && value.toLowerCase().includes(wanted);
    return Object.entries(sides).flatMap(([side, layout]) => layout.regions.flatMap((region, index) => {
      const [start, end] = region.range.map(hex);
      const file = region.file === null ? null : layout.files[region.file];
      const of = (list, at) => list.some((each) => has(each.name) && at(each) >= start && at(each) < end);
      const match = has(region.label) || has(region.name) || has(region.role) ||
        of(layout.pointers, ({ address }) => hex(address)) ||
        (file && of(file.sections.filter(({ allocated }) => allocated), ({ vaddr }) =>
          (hex(vaddr) + hex(file.bias)) & 0xffffffffffffffffn));
      return match ? [[side, index]] : [];
    }));
  };

  // Short text is an address only if no name contains it: "a" could be either.
  const look = (enter) => {
    const text = search.value.trim();
    document.querySelectorAll(".region.match").forEach((region) => region.classList.remove("match"));
    document.body.classList.toggle("searching", text !== "");
    found.textContent = "";
    if (!text) return;
    const hits = matches(text);
    hits.forEach((hit) => element(...hit).classList.add("match"));
    document.body.dataset.matches = hits.length;
    const address = parse(text);
    if (address !== null && (text.length >= 4 || !hits.length)) {
      document.body.classList.remove("searching");
      if (enter) toHash(address); else go(address);
    } else if (hits.length) {
      found.textContent = hits.length + " found";
      const next = hits.findIndex(([side, index]) => selected && side === selected[0] && index === selected[1]) + 1;
      if (enter) select(...hits[next % hits.length], undefined, true);
    } else {
      found.textContent = "not found";
    }
  };

  const step = (by) => {
    const [side, index] = selected || ["a", by < 0 ? sides.a.regions.length : -1];
    const next = Math.min(Math.max(index + by, 0), sides[side].regions.length - 1);
    toHash(hex(sides[side].regions[next].range[0]));
    if (side === "b") select(side, next, undefined, true);
  };

  document.querySelectorAll(".region").forEach((region) => {
    const side = region.dataset.side;
    const index = Number(region.dataset.index);
    region.addEventListener("mouseenter", () => {
      region.classList.add("hover");
      describe(side, index);
    });
    region.addEventListener("mouseleave", () => {
      region.classList.remove("hover");
      if (selected) describe(...selected);
    });
    region.addEventListener("click", () => {
      const start = hex(sides[side].regions[index].range[0]);
      if (side === "a") toHash(start); else select(side, index, undefined, false);
    });
  });
  document.querySelectorAll("tr[data-address]").forEach((row) =>
    row.addEventListener("click", () => toHash(hex(row.dataset.address))));
  search.addEventListener("input", () => look(false));
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") look(true); });
  window.addEventListener("hashchange", fromHash);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape") {
      search.value = "";
      look(false);
      search.blur();
    } else if (event.target === search) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "ArrowUp" || event.key === "k") {
      event.preventDefault();
      step(1);
    } else if (event.key === "ArrowDown" || event.key === "j") {
      event.preventDefault();
      step(-1);
    }
  });
  if (location.hash) fromHash();
  else if (sides.a.regions.length) describe("a", 0);
  document.body.dataset.ready = "yes";
})();
