// One JavaScript client's questions, for `clients.py`: as asking_clients.py, with packages of the folder in the task.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const WORD = { type: 'string', enum: ['yes', 'no'] }
const SCHEMA = { type: 'object', properties: { word: WORD }, required: ['word'], additionalProperties: false }
const task = JSON.parse(readFileSync(0, 'utf8'))
const [KEY, LIMIT, HELLO] = ['sk-any', task.limit ?? 64, 'Hello. How can I help?']
const load = createRequire(join(task.modules, 'any.js'))
const user = (content) => ({ role: 'user', content })
const conversation = (question) => [user('Hello'), { role: 'assistant', content: HELLO }, user(question)]

// Each function below makes a client's uses: by name, what asks a question and gives an answer that is not empty.
function openaiChat(url, model) {
  const { OpenAI } = load('openai')
  const chats = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY }).chat.completions
  const tool = { type: 'function', function: { name: 'say', parameters: SCHEMA } }
  const form = { type: 'json_schema', json_schema: { name: 'say', schema: SCHEMA, strict: true } }
  const asked = async (messages, more = {}) =>
    (await chats.create({ model, messages, max_tokens: LIMIT, ...more })).choices[0].message
  return {
    chat: async (q) => (await asked([user(q)])).content,
    stream: async (q) => await chats.stream({ model, messages: [user(q)], max_tokens: LIMIT }).finalContent(),
    tools: async (q) => {
      const said = await asked([user(q)], { tools: [tool] })
      return said.content || said.tool_calls
    },
    structured: async (q) => JSON.parse((await asked([user(q)], { response_format: form })).content),
    turns: async (q) => (await asked(conversation(q))).content,
  }
}

function openaiResponses(url, model) {
  const { OpenAI } = load('openai')
  const { responses } = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY })
  const tool = { type: 'function', name: 'say', parameters: SCHEMA, strict: true }
  const form = { format: { type: 'json_schema', name: 'say', schema: SCHEMA, strict: true } }
  const asked = (input, more = {}) => responses.create({ model, input, max_output_tokens: LIMIT, ...more })
  return {
    chat: async (q) => (await asked(q)).output_text,
    stream: async (q) => {
      const stream = responses.stream({ model, input: q, max_output_tokens: LIMIT })
      return (await stream.finalResponse()).output_text
    },
    tools: async (q) => (await asked(q, { tools: [tool] })).output.length,
    structured: async (q) => JSON.parse((await asked(q, { text: form })).output_text),
    turns: async (q) => (await asked(q, { previous_response_id: (await asked('Hello')).id })).output_text,
  }
}

function anthropic(url, model) {
  const { Anthropic } = load('@anthropic-ai/sdk')
  const { messages } = new Anthropic({ baseURL: url, apiKey: KEY })
  const tool = { name: 'say', description: 'Says it.', input_schema: SCHEMA }
  const form = { format: { type: 'json_schema', schema: SCHEMA } }
  const asked = async (turns, more = {}) =>
    (await messages.create({ model, messages: turns, max_tokens: LIMIT, ...more })).content
  return {
    chat: async (q) => (await asked([user(q)]))[0].text,
    stream: async (q) => await messages.stream({ model, messages: [user(q)], max_tokens: LIMIT }).finalText(),
    tools: async (q) => (await asked([user(q)], { tools: [tool] })).length,
    structured: async (q) => JSON.parse((await asked([user(q)], { output_config: form }))[0].text),
    turns: async (q) => (await asked(conversation(q)))[0].text,
    count_tokens: async (q) => (await messages.countTokens({ model, messages: [user(q)] })).input_tokens,
  }
}

// Vercel's AI SDK, over one of its providers.
function aiSdk(chosen) {
  const { generateText, streamText, jsonSchema, tool, stepCountIs, Output } = load('ai')
  const lookUp = tool({
    description: 'Looks a person up.',
    inputSchema: jsonSchema({ type: 'object', properties: { name: { type: 'string' } }, required: ['name'] }),
    execute: async ({ name }) => `Nothing is known of ${name}.`,
  })
  const asked = (more) => generateText({ model: chosen, maxOutputTokens: LIMIT, ...more })
  return {
    chat: async (q) => (await asked({ prompt: q })).text,
    stream: async (q) => {
      let fault // the stream of texts ends without one
      const stream = streamText({ model: chosen, maxOutputTokens: LIMIT, prompt: q, onError: (e) => (fault = e.error) })
      let text = ''
      for await (const part of stream.textStream) text += part
      if (fault) throw fault
      return text
    },
    tools: async (q) => {
      const said = await asked({ prompt: q, tools: { look_up: lookUp }, stopWhen: stepCountIs(3) })
      return said.text || said.steps.some((step) => step.toolCalls.length)
    },
    structured: async (q) => (await asked({ prompt: q, output: Output.object({ schema: jsonSchema(SCHEMA) }) })).output,
    turns: async (q) => (await asked({ messages: conversation(q) })).text,
  }
}

const settings = (url) => ({ baseURL: `${url}/v1`, apiKey: KEY })
const CLIENTS = {
  'openai-node': ['openai', openaiChat],
  'openai-node-responses': ['openai', openaiResponses],
  'anthropic-node': ['@anthropic-ai/sdk', anthropic],
  'ai-sdk-openai': ['@ai-sdk/openai', (url, model) => aiSdk(load('@ai-sdk/openai').createOpenAI(settings(url))(model))],
  'ai-sdk-openai-compatible': [
    '@ai-sdk/openai-compatible',
    (url, model) => {
      const { createOpenAICompatible } = load('@ai-sdk/openai-compatible')
      return aiSdk(createOpenAICompatible({ name: 'g', supportsStructuredOutputs: true, ...settings(url) })(model))
    },
  ],
  'ai-sdk-anthropic': [
    '@ai-sdk/anthropic',
    (url, model) => aiSdk(load('@ai-sdk/anthropic').createAnthropic(settings(url))(model)),
  ],
}

async function outcome(ask, question) {
  try {
    return (await ask(question)) ? 'ok' : 'an empty answer'
  } catch (error) {
    return `${error.constructor.name}: ${error.message}`.slice(0, 300)
  }
}

const [packageName, uses] = CLIENTS[task.client]
const found = {}
for (const [use, ask] of Object.entries(uses(task.url, task.model))) {
  found[use] = {}
  for (const [kind, question] of Object.entries(task.questions)) found[use][kind] = await outcome(ask, question)
}
const { version } = JSON.parse(readFileSync(join(task.modules, packageName, 'package.json'), 'utf8'))
console.log(`\n${JSON.stringify({ version, uses: found })}`)
