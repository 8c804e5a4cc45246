// Every path is answered with the same file; the page is chosen here.
const pages = {
  "/": ["Help", "Choose a subject above."],
  "/delivery": ["Delivery", "Orders are completed by the worker, usually within a second."],
  "/returns": ["Returns", "Bring it back with its receipt; the number never changes."],
};
const [title, text] = pages[location.pathname] || ["Not found", "There is no such page."];
document.getElementById("title").textContent = title;
document.getElementById("text").textContent = text;
