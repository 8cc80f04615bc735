"""SQLAlchemy: sessions of its ORM over a QueuePool of psycopg's connections to PostgreSQL.
"""
# python: 3.11
# bounded: sqlalchemy==2.0.36 psycopg[binary,pool]==3.2.3
# server: postgresql
import os

import sqlalchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

REQUESTS = 2_000
engine = sqlalchemy.create_engine(f"postgresql+psycopg://test@127.0.0.1:{os.environ['PORT']}/postgres", pool_size=3)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]


Base.metadata.create_all(engine)


def request():
    with Session(engine) as session:
        session.add(Order(item="x" * 100))
        session.commit()
        session.scalars(sqlalchemy.select(Order).order_by(Order.id.desc()).limit(5)).all()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
