// Lists products, places an order and follows it until it is completed.
const api = __API_URL__;
const POLL_EVERY_MS = 400;
const GIVE_UP_AFTER_MS = 60_000;

const byId = (id) => document.getElementById(id);
const price = new Intl.NumberFormat("en", {
  style: "currency",
  currency: document.body.dataset.currency,
});

async function call(path, options) {
  const response = await fetch(api + path, options);
  if (!response.ok) throw new Error(`the shop answered ${response.status}`);
  return response.json();
}

function show(state, text) {
  const order = byId("order-state");
  order.dataset.state = state;
  order.textContent = text;
}

async function listProducts() {
  const products = await call("/products");
  const list = byId("products");
  const choice = byId("product");
  list.replaceChildren();
  choice.replaceChildren();
  for (const product of products) {
    const item = document.createElement("li");
    item.className = "product";
    item.dataset.id = product.id;
    const name = document.createElement("strong");
    name.textContent = product.name;
    const description = document.createElement("span");
    description.textContent = product.description;
    const cost = document.createElement("span");
    cost.className = "price";
    cost.textContent = price.format(product.price_cents / 100);
    item.append(name, description, cost);
    list.append(item);
    choice.append(new Option(product.name, product.id));
  }
  list.setAttribute("aria-busy", "false");
  byId("place-order").disabled = false;
}

async function follow(id) {
  const until = Date.now() + GIVE_UP_AFTER_MS;
  while (Date.now() < until) {
    const order = await call(`/orders/${id}`);
    if (order.status === "completed") {
      byId("receipt").textContent = order.receipt;
      byId("receipt-line").hidden = false;
      show("completed", "completed");
      return;
    }
    show(order.status, `${order.status} …`);
    await new Promise((resolve) => setTimeout(resolve, POLL_EVERY_MS));
  }
  show("waiting", "still waiting; nobody works on orders at the moment");
}

async function placeOrder(event) {
  event.preventDefault();
  const button = byId("place-order");
  button.disabled = true;
  byId("order").hidden = false;
  byId("receipt-line").hidden = true;
  show("sending", "sending …");
  try {
    const order = await call("/orders", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        product_id: Number(byId("product").value),
        quantity: Number(byId("quantity").value),
        customer: byId("customer").value,
      }),
    });
    byId("order-id").textContent = order.id;
    await follow(order.id);
  } catch (error) {
    show("failed", `failed: ${error.message}`);
  } finally {
    button.disabled = false;
  }
}

byId("order-form").addEventListener("submit", placeOrder);
listProducts().catch((error) => {
  byId("products").setAttribute("aria-busy", "false");
  byId("problem").hidden = false;
  byId("problem").textContent = `The products cannot be shown: ${error.message}`;
});
