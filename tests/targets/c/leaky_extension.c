// A module of Python: texts that are given back, one that is not, and memory of the C library that is not freed.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

// Bytes whose allocation is of 1,000: the header of an object of bytes, with the zero at its end, is of 33.
static PyObject *text(void) { return PyBytes_FromStringAndSize(NULL, 1000 - 33); }

static PyObject *correct(PyObject *self, PyObject *arguments) {
    (void)self, (void)arguments;
    PyObject *made = text();
    Py_XDECREF(made);
    Py_RETURN_NONE;
}

static PyObject *without_decref(PyObject *self, PyObject *arguments) {
    (void)self, (void)arguments;
    text();
    Py_RETURN_NONE;
}

static PyObject *without_free(PyObject *self, PyObject *arguments) {
    (void)self, (void)arguments;
    void *volatile lost = malloc(1000);
    (void)lost;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"correct", correct, METH_NOARGS, NULL},
    {"without_decref", without_decref, METH_NOARGS, NULL},
    {"without_free", without_free, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "leaky", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_leaky(void) { return PyModule_Create(&module); }
