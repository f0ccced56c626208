// Stands for an agent: asks an API, and shows what that says.

const response = await fetch('https://api.example.com/v1/me')
process.stdout.write(`${response.status} ${await response.text()}\n`)
