import sys, asyncio
def leaf():
    try:
        while True:
            yield [bytearray(600)]
    except ValueError:
        keep.append(bytearray(700)); keep.append(["%d"%i for i in range(5)])
        yield 5
def mid():
    yield from leaf()
def top():
    yield from mid()
keep=[]
for i in range(200):
    g=top(); next(g); next(g); g.throw(ValueError()); g.close()
async def aw():
    try: await asyncio.sleep(9)
    except asyncio.CancelledError:
        keep.append(bytearray(800)); raise
async def main():
    for i in range(50):
        t=asyncio.create_task(aw()); await asyncio.sleep(0); t.cancel()
        try: await t
        except asyncio.CancelledError: pass
asyncio.run(main())
print(len(keep))
