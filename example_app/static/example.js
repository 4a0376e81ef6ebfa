// Asks a protected address. Signed out, the answer is 401 with the address to sign in at,
// instead of a redirect that a script could not follow.
const button = document.querySelector("[data-ask]");
const answer = document.querySelector(".answer");

button.addEventListener("click", async () => {
  const response = await fetch(button.dataset.ask, { headers: { Accept: "application/json" } });
  const body = await response.json();
  answer.hidden = false;
  answer.textContent = `${response.status}: ${body.greeting ?? body.message} `;
  if (body.loginUrl) {
    const signIn = new URL(body.loginUrl, location);
    signIn.searchParams.set("return_to", location.pathname); // come back to this page
    const link = document.createElement("a");
    link.href = signIn;
    link.textContent = "Sign in";
    answer.append(link);
  }
});
