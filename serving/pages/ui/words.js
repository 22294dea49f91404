// The words of the page in each language. `{name}` stands for a value.

import { load, store } from "./storage.js";

export const WORDS = {
  en: {
    title: "Model service", skip: "Skip to the content", language: "Language", key: "API key",
    keyHint: "This service asks for a key. It is kept until this tab is closed.", useKey: "Use key", changeKey: "Change key",
    asking: "loading", ready: "ready", notReady: "not ready", stopping: "stopping", registryAway: "ready, registry away",
    needsKey: "needs a key", refusedState: "refused", unreachable: "not reachable", noModel: "No model yet",
    refused: "{role} version {version} was refused: {reason}",
    champion: "Champion", challenger: "Challenger",
    about: "About the model", api: "API", metrics: "Metrics", version: "Version", stage: "Stage", run: "Run", wanted: "Served",
    score: "Score", gate: "Gate", passed: "passed", gateRefused: "refused", comparedWith: "compared with version {version}",
    noComparison: "compared with no version", noScore: "This version has no score in the registry.",
    better: "better", "not worse": "not worse", worse: "worse", undecided: "undecided",
    lastRequests: "Last requests", median: "median", p95: "95 %", p99: "99 %", counted: "requests counted", failedShare: "failed",
    waiting: "rows waiting", tags: "All tags", inMlflow: "In MLflow",
    you: "You", answer: "Answer", message: "Message", messageHint: "Ask something", send: "Send", stop: "Stop",
    sendHint: "Enter sends, Shift+Enter makes a new line", chatWith: "Ask {name}", examples: "Examples",
    conversations: "Conversations", newConversation: "New conversation", showConversations: "Conversations",
    deleteConversation: "Delete the conversation {title}", noConversations: "None yet.",
    confirmDelete: "Delete the conversation {title} here and in the service?",
    kept: "Kept in this browser.", answering: "Answering", answered: "The answer is complete.", stopped: "Stopped.", close: "Close",
    sources: "Sources ({count})", source: "Source {number}", tool: "Tool {name}", toolArguments: "Arguments", toolResult: "Result",
    steps: "Steps ({count})",
    good: "Good answer", bad: "Bad answer", correct: "Correct it", copy: "Copy", copied: "Copied", correction: "The right answer",
    save: "Save", cancel: "Cancel", thanks: "Thank you, saved.", notSaved: "Not saved.", request: "Request {id}",
    interrupted: "The model asks", yourReply: "Your reply", reply: "Reply", isTrue: "Yes", isFalse: "No", replyIsJson: "The reply is JSON", tryAgain: "Try again",
    replyTo: "Reply to: {question}",
    requestId: "Request ID: {id}", retryAfter: "Try again in {seconds} s.",
    emptyAnswer: "The answer is empty.", eachAlone: "This model does not remember earlier questions.",
    tryIt: "Try it", predict: "Predict", optional: "optional", number: "number", integer: "whole number", datetime: "date or time",
    array: "list, as JSON", image: "image", binary: "base64", text: "text", category: "text", boolean: "yes or no", any: "JSON",
    imageHint: "Choose a file, or drop it here: PNG, JPEG, WebP, GIF or BMP.", removeImage: "Remove the image",
    imageIs: "{name}, {width} × {height}, {size}", imageUnseen: "{name}, {size}. This browser cannot show it.",
    chooseAgain: "Choose the file again: this browser has kept its thumbnail only.",
    body: "Row, as JSON", other: "Another value...", notJson: "This is not JSON: {reason}", none: "–",
    needed: "A value is needed.", mustBe: "{detail}",
    fixFields: "{count} fields to correct.", fixField: "One field to correct.",
    mostLikely: "{label}: most likely {value}", withProbability: "with a probability of {share}", isValue: "{label}: {value}",
    prediction: "Prediction", details: "The service's answer", history: "History", again: "Use again", clear: "Clear",
    when: "Time", inputs: "Inputs", result: "Result", noHistory: "No requests from this browser yet.",
    error_unreachable: "The service cannot be reached.", error_unknown_key: "This key is not known.",
    error_foreign_thread: "This conversation belongs to another key. Begin a new one.",
    error_rate_limited: "Too many requests with this key.", error_budget_exceeded: "The budget is spent for now.",
    error_llm_rate_limited: "The LLM's vendor takes no more requests now.", error_overloaded: "The service is too busy now.",
    error_model_timeout: "The model took too long.", error_timed_out: "The request took too long.",
    error_model_failed: "The model failed on this request.", error_model_crashed: "The model's process ended on this request.",
    error_model_unhealthy: "The model is being started again.", error_model_not_ready: "There is no model yet.",
    error_body_too_large: "The request is too long.", error_invalid_input: "The model does not take this.",
    error_unknown_thread: "The service no longer has this conversation. Begin a new one.", error_nothing_open: "Nothing waits for a reply.",
    error_thread_busy: "An answer in this conversation is still running.",
    error_cut: "The answer broke off.", error_other: "The service could not answer.",
  },
  ko: {
    title: "모델 서비스", skip: "본문으로 건너뛰기", language: "언어", key: "API 키",
    keyHint: "이 서비스에는 키가 필요합니다. 키는 이 탭을 닫을 때까지만 보관됩니다.", useKey: "키 사용", changeKey: "키 변경",
    asking: "불러오는 중", ready: "준비됨", notReady: "준비되지 않음", stopping: "종료 중", registryAway: "준비됨, 레지스트리 연결 끊김",
    needsKey: "키 필요", refusedState: "거부됨", unreachable: "연결할 수 없음", noModel: "아직 모델이 없습니다",
    refused: "{role} 버전 {version}이(가) 거부되었습니다: {reason}",
    champion: "챔피언", challenger: "챌린저",
    about: "모델 정보", api: "API", metrics: "지표", version: "버전", stage: "스테이지", run: "실행", wanted: "서비스 대상",
    score: "점수", gate: "게이트", passed: "통과", gateRefused: "거부", comparedWith: "버전 {version}과(와) 비교",
    noComparison: "비교한 버전 없음", noScore: "레지스트리에 이 버전의 점수가 없습니다.",
    better: "더 좋음", "not worse": "나쁘지 않음", worse: "더 나쁨", undecided: "판단 불가",
    lastRequests: "최근 요청", median: "중앙값", p95: "95 %", p99: "99 %", counted: "집계된 요청", failedShare: "실패",
    waiting: "대기 중인 행", tags: "모든 태그", inMlflow: "MLflow에서 보기",
    you: "나", answer: "답변", message: "메시지", messageHint: "질문을 입력하세요", send: "보내기", stop: "중지",
    sendHint: "Enter로 보내고 Shift+Enter로 줄을 바꿉니다", chatWith: "{name}에게 물어보세요", examples: "예시 질문",
    conversations: "대화", newConversation: "새 대화", showConversations: "대화 목록",
    deleteConversation: "대화 삭제: {title}", noConversations: "아직 없습니다.",
    confirmDelete: "이 대화를 여기와 서비스에서 삭제할까요? {title}",
    kept: "이 브라우저에 저장됩니다.", answering: "답변 중", answered: "답변이 끝났습니다.", stopped: "중지했습니다.", close: "닫기",
    sources: "출처 ({count})", source: "출처 {number}", tool: "도구 {name}", toolArguments: "인자", toolResult: "결과",
    steps: "단계 ({count})",
    good: "좋은 답변", bad: "나쁜 답변", correct: "답변 고치기", copy: "복사", copied: "복사됨", correction: "올바른 답변",
    save: "저장", cancel: "취소", thanks: "저장했습니다. 감사합니다.", notSaved: "저장하지 못했습니다.", request: "요청 {id}",
    interrupted: "모델의 질문", yourReply: "내 대답", reply: "대답하기", isTrue: "예", isFalse: "아니요", replyIsJson: "대답이 JSON입니다", tryAgain: "다시 시도",
    replyTo: "대답할 질문: {question}",
    requestId: "요청 ID: {id}", retryAfter: "{seconds}초 뒤에 다시 시도하세요.",
    emptyAnswer: "답변이 비어 있습니다.", eachAlone: "이 모델은 앞의 질문을 기억하지 않습니다.",
    tryIt: "예측해 보기", predict: "예측", optional: "선택", number: "숫자", integer: "정수", datetime: "날짜 또는 시각",
    array: "목록(JSON)", image: "이미지", binary: "base64", text: "텍스트", category: "텍스트", boolean: "예 또는 아니요", any: "JSON",
    imageHint: "파일을 고르거나 여기로 끌어 놓으세요: PNG, JPEG, WebP, GIF, BMP.", removeImage: "이미지 지우기",
    imageIs: "{name}, {width} × {height}, {size}", imageUnseen: "{name}, {size}. 이 브라우저에서 표시할 수 없습니다.",
    chooseAgain: "파일을 다시 고르세요. 이 브라우저에는 미리 보기만 남아 있습니다.",
    body: "행(JSON)", other: "다른 값...", notJson: "JSON이 아닙니다: {reason}", none: "–",
    needed: "값이 필요합니다.", mustBe: "맞지 않는 값입니다. 필요한 형식: {kind} ({detail})",
    fixFields: "고칠 항목이 {count}개 있습니다.", fixField: "고칠 항목이 1개 있습니다.",
    mostLikely: "{label}: 가장 가능성 높은 값은 {value}", withProbability: "확률 {share}", isValue: "{label}: {value}",
    prediction: "예측", details: "서비스의 응답", history: "기록", again: "다시 사용", clear: "지우기",
    when: "시각", inputs: "입력", result: "결과", noHistory: "아직 이 브라우저에서 보낸 요청이 없습니다.",
    error_unreachable: "서비스에 연결할 수 없습니다.", error_unknown_key: "알 수 없는 키입니다.",
    error_foreign_thread: "다른 키의 대화입니다. 새 대화를 시작하세요.",
    error_rate_limited: "이 키의 요청이 너무 많습니다.", error_budget_exceeded: "지금은 예산을 모두 썼습니다.",
    error_llm_rate_limited: "LLM 공급자가 지금은 요청을 더 받지 않습니다.", error_overloaded: "서비스가 지금 너무 바쁩니다.",
    error_model_timeout: "모델의 응답이 너무 오래 걸렸습니다.", error_timed_out: "요청이 너무 오래 걸렸습니다.",
    error_model_failed: "모델이 이 요청을 처리하지 못했습니다.", error_model_crashed: "이 요청에서 모델 프로세스가 종료되었습니다.",
    error_model_unhealthy: "모델을 다시 시작하고 있습니다.", error_model_not_ready: "아직 모델이 없습니다.",
    error_body_too_large: "요청이 너무 깁니다.", error_invalid_input: "모델이 받을 수 없는 입력입니다.",
    error_unknown_thread: "서비스에 이 대화가 더 이상 없습니다. 새 대화를 시작하세요.", error_nothing_open: "대답을 기다리는 질문이 없습니다.",
    error_thread_busy: "이 대화의 답변이 아직 진행 중입니다.",
    error_cut: "답변이 도중에 끊겼습니다.", error_other: "서비스가 답하지 못했습니다.",
  },
};

const STORED = "language";
export const LANGUAGES = {en: "English", ko: "한국어"};

/** The language that was chosen here before, else the browser's first one that the page has. */
function first() {
  const wanted = [load(STORED, ""), ...navigator.languages].map(tag => tag.slice(0, 2).toLowerCase());
  return wanted.find(tag => tag in WORDS) || "en";
}

let now = first();
export const language = () => now;

/** Choose a language, and remember it. */
export function choose(tag) {
  now = tag;
  store(STORED, tag);
}

/** A word in the language of now, with values in it; a key that is no word stays as it is. */
export function t(key, values = {}) {
  return (WORDS[now][key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => name in values ? String(values[name]) : whole);
}

export const knows = key => key in WORDS.en;
