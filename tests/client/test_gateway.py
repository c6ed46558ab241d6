"""A refusal says whose answer it is: a gateway's, with the limit to raise, or vLLM's own."""

import pytest
from wire_transcripts import VERSIONS, response_body

from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.client.failures import Interpreter
from pytest_gptoss.client.gateway import gateway_advice


def html(title, by="<hr><center>nginx/1.25.3</center>", said=""):
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        f"{said}{by}\r\n</body>\r\n</html>"
    ).encode()


def haproxy(title, said):
    return f"<html><body><h1>{title}</h1>\n{said}\n</body></html>\n".encode()


ANY = "a proxy or gateway before the server"
NO_BACKEND = "The server returned an invalid or incomplete response."
GATEWAYS = [
    (413, {}, html("413 Request Entity Too Large"), ("nginx", "raise client_max_body_size")),
    (413, {"server": "nginx"}, b"", ("nginx", "raise client_max_body_size")),
    (413, {"server": "openresty"}, b'{"message": "size limit exceeded"}', ("nginx", "proxy-body-size")),
    (413, {"server": "istio-envoy"}, b"Payload Too Large", ("Envoy", "max_request_bytes")),
    (413, {}, b"Request Entity Too Large", ("Traefik", "maxRequestBodyBytes")),
    (413, {"server": "Apache/2.4"}, b"", ("Apache", "LimitRequestBody")),
    (413, {}, b'{"message": "too large"}', (ANY, "limit of the request's body")),
    (502, {}, html("502 Bad Gateway"), ("nginx", "see vLLM's log, then the gateway's")),
    (502, {}, html("502 Bad Gateway", "<hr><center>openresty</center>"), ("nginx", "died or closed")),
    (502, {}, haproxy("502 Bad Gateway", NO_BACKEND), ("HAProxy",)),
    (502, {"server": "uvicorn"}, b'{"error": "bad gateway"}', (ANY,)),
    (503, {}, b"no healthy upstream", ("Envoy", "no server behind it that is ready")),
    (503, {}, b"upstream connect error or disconnect/reset before headers. reset reason: connection failure",
     ("Envoy",)),
    (503, {}, html("503 Service Temporarily Unavailable"), ("nginx", "no server behind it")),
    (504, {}, html("504 Gateway Time-out"), ("nginx", "raise proxy_read_timeout (60 s by default)")),
    (504, {}, b"upstream request timeout", ("Envoy", "raise the route's timeout (15 s by default)")),
    (504, {}, haproxy("504 Gateway Time-out", "The server didn't respond in time."),
     ("HAProxy", "timeout server")),
    (504, {"server": "awselb/2.0"}, html("504 Gateway Time-out", ""), ("AWS", "idle timeout")),
    (504, {}, b"", (ANY, "raise the time that it waits")),
    (429, {"retry-after": "17"}, html("429 Too Many Requests"),
     ("nginx", "measure without limit_req", "retry after 17 s")),
    (429, {}, b"local_rate_limited", ("Envoy", "measure without the rate limit of the route")),
    (429, {"server": "cloudflare"}, b"error code: 1015", ("Cloudflare", "measure without the rate limiting")),
    (429, {"retry-after": "<b>"}, b'{"error": {"message": "quota"}}', (ANY, "its limit of the rate")),
    (431, {}, html("431 Request Header Fields Too Large"), ("nginx", "raise large_client_header_buffers")),
    (431, {"server": "envoy"}, b"", ("Envoy", "raise max_request_headers_kb", "API key")),
    (400, {}, html("400 Request Header Or Cookie Too Large"), ("nginx", "large_client_header_buffers")),
    (414, {}, html("414 Request-URI Too Large"), ("nginx", "raise large_client_header_buffers")),
    (408, {}, haproxy("408 Request Time-out", "Your browser didn't send a complete request in time."),
     ("HAProxy", "raise timeout http-request")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "body", "words"), GATEWAYS)
def test_a_gateways_refusal_names_it_and_its_limit(status, headers, body, words):
    advice = gateway_advice(status, headers, body)
    assert advice is not None
    assert advice.startswith(words[0] if words[0] != "AWS" else "an AWS load balancer")
    assert "answered, not vLLM: " in advice
    for each in words[1:]:
        assert each in advice
    assert "<" not in advice
    assert len(advice.splitlines()) == 1


OWN = [
    (503, {"server": "nginx"}, b""),  # vLLM's /health, its Server header replaced on the way
    (503, {"server": "envoy"}, b'{"error": {"message": "The model is still loading", "code": 503}}'),
    (500, {"server": "nginx"}, b"Internal Server Error"),
    (400, {"server": "nginx"}, b'{"error": {"message": "maximum context length is 4096", "code": 400}}'),
    (401, {"server": "envoy"}, b'{"error": "Unauthorized"}'),
    (404, {"server": "nginx"}, b'{"detail": "Not Found"}'),
    (404, {}, html("404 Not Found")),
    (200, {"server": "nginx"}, b""),
]


@pytest.mark.parametrize(("status", "headers", "body"), OWN)
def test_what_vllm_may_have_said_is_left_to_the_usual_advice(status, headers, body):
    assert gateway_advice(status, headers, body) is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["error_context_too_long", "error_unknown_model", "error_malformed_json"])
def test_recorded_refusals_are_vllms(version, name):
    body = str(response_body(version, name)).encode()
    assert gateway_advice(400, {"server": "nginx"}, body) is None


def refused(status, headers, body, key="sk-very-secret"):
    endpoint = Endpoint.parse("http://gate:1", api_key=Secret(key))
    said = Interpreter(endpoint, "npu", "--npu-url").refused(
        "POST http://gate:1/v1/chat/completions", "/v1/chat/completions", status, headers, body
    )
    return str(said)


def test_the_whole_line():
    line = refused(413, {"content-type": "text/html"}, html("413 Too Large"))
    head, quoted = line.split(" (a web page: ")
    assert head.startswith("POST http://gate:1/v1/chat/completions answered 413 ")
    assert quoted == (
        "413 Too Large 413 Too Large nginx/1.25.3): nginx answered, not vLLM: the prompt is larger than it "
        "lets through: raise client_max_body_size (1 MB by default; on an ingress the annotation "
        "nginx.ingress.kubernetes.io/proxy-body-size)"
    )


def test_a_gateway_that_knows_the_context_is_believed():
    said = refused(413, {}, b'{"error": {"message": "This model\'s maximum context length is 4096 tokens"}}')
    assert "larger --max-model-len" in said


def test_a_key_in_a_gateways_page_is_not_repeated():
    said = refused(502, {"server": "nginx sk-very-secret"}, html("502", said="key sk-very-secret"))
    assert "sk-very-secret" not in said
    assert "nginx answered, not vLLM" in said
