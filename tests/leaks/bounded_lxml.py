"""lxml: documents are parsed, asked by XPath, changed and written."""
# python: 3.11
# bounded: lxml==5.3.0
from lxml import etree

REQUESTS = 3_000
PAGE = "<orders>" + "".join(f"<order id='{n}'><line price='{n}'/>text</order>" for n in range(30)) + "</orders>"
price = etree.XPath("sum(//line/@price)")
count = 0


def request():
    global count
    count += 1
    root = etree.fromstring(PAGE)
    root.set("number", str(count))
    for order in root.iterfind("order"):
        if order.get("id") == str(count % 30):
            root.remove(order)
    price(root)
    return etree.tostring(root)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
