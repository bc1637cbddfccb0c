// Put behind the page's own script by tests/layout_page.rs: does what a person would, and writes down what went wrong.
(async () => {
  const wrong = window.wrong;
  const body = document.body;
  const check = (what, holds) => { if (!holds) wrong.push(what); };
  const pause = () => new Promise((done) => setTimeout(done, 50));
  const detail = document.getElementById("detail");
  const search = document.getElementById("search");
  const regions = [...document.querySelectorAll(".region")];
  const data = JSON.parse(document.getElementById("data").textContent);
  const key = (name, target) => (target || document).dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  const type = (text) => {
    search.value = text;
    search.dispatchEvent(new Event("input", { bubbles: true }));
  };

  check("ready", body.dataset.ready === "yes");
  const sides = data.with ? [data, data.with] : [data];
  check("one box for each mapping", regions.length === sides.reduce((sum, side) => sum + side.regions.length, 0));
  check("the address in the fragment is selected", !location.hash || body.dataset.selected !== undefined);

  const stack = regions.find((region) => region.textContent.includes("[stack]"));
  stack.dispatchEvent(new MouseEvent("mouseenter"));
  check("hover shows the mapping", detail.textContent.includes("[stack]") && body.dataset.shown === stack.id);
  stack.dispatchEvent(new MouseEvent("mouseleave"));

  stack.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  await pause();
  const start = data.regions[Number(stack.dataset.index)].range[0];
  check("click puts the address into the fragment", location.hash === "#" + start);
  check("click selects", stack.classList.contains("selected"));
  check("the address is marked", document.getElementById("marker-a").getAttribute("visibility") === "visible");

  key("ArrowDown");
  await pause();
  check("a key goes to the next mapping", body.dataset.selected === "a" + (Number(stack.dataset.index) - 1));
  key("ArrowUp");
  await pause();
  check("a key goes back", body.dataset.selected === stack.id);

  key("/");
  check("a key goes to the search", document.activeElement === search);
  const first = data.regions[0];
  type((BigInt(first.range[0]) + 1n).toString(16));
  check("an address is found as it is typed", body.dataset.selected === "a0" && detail.textContent.includes("At 0x"));
  type("[stack]");
  check("a name is found", stack.classList.contains("match") && body.classList.contains("searching"));
  key("Enter", search);
  check("enter goes there", body.dataset.selected === stack.id);
  type("AT_RANDOM");
  const vector = data.pointers.some(({ name }) => name === "AT_RANDOM");
  check("what points somewhere is found", stack.classList.contains("match") === vector);
  type("no such thing");
  check("nothing is found", document.getElementById("found").textContent === "not found");
  key("Escape", search);
  check("escape clears", search.value === "" && !body.classList.contains("searching"));

  location.hash = "#0x1";
  await pause();
  check("where nothing is mapped it says so", document.getElementById("found").textContent.includes("nothing is mapped"));
  check("names are text", window.hacked === undefined);
  check("nothing is loaded", performance.getEntriesByType("resource").length === 0);
  body.dataset.tried = wrong.length ? wrong.join("; ") : "all is well";
})();
