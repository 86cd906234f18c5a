"""Customers and the payment methods attached to them."""

from __future__ import annotations

from server.dev.stripe_sandbox import payment_methods
from server.dev.stripe_sandbox.errors import Json, missing, no_such
from server.dev.stripe_sandbox.parameters import (
    ADDRESS,
    EXPAND,
    PAGE,
    Spec,
    array,
    merge_metadata,
    metadata,
    nested,
    text,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

CUSTOMER: Spec = {
    "address": ADDRESS,
    "description": text,
    "email": text,
    "invoice_settings": nested(default_payment_method=text),
    "metadata": metadata,
    "name": text,
    "payment_method": text,
    "phone": text,
    "preferred_locales": array(),
    **EXPAND,
}
ATTACH: Spec = {"customer": text, **EXPAND}
METHODS: Spec = {**PAGE, "customer": text, "type": text, "allow_redisplay": text}
CUSTOMERS: Spec = {**PAGE, "email": text}


def create_customer(context: RequestContext) -> Json:
    """Create a customer, with a payment method attached if one is given."""
    params = context.params
    customer: Json = {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": params.get("address"),
        "balance": 0,
        "created": context.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
            **params.get("invoice_settings", {}),
        },
        "livemode": False,
        "metadata": merge_metadata(None, params.get("metadata", {})),
        "name": params.get("name"),
        "phone": params.get("phone"),
        "preferred_locales": params.get("preferred_locales", []),
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    context.add(customer)
    if params.get("payment_method"):
        payment_methods.attach_to_customer(
            context,
            payment_methods.get_or_create_method(context, params["payment_method"]),
            customer["id"],
        )
    context.emit("customer.created", customer)
    return customer


def get_customer(context: RequestContext, customer_id: str, *, in_path: bool = True) -> Json:
    """A customer that is not deleted. Raises resource_missing."""
    param = "id" if in_path else "customer"
    customer = context.get("customer", customer_id, param, in_path=in_path)
    if customer.get("deleted"):
        raise no_such("customer", customer_id, param, in_path=in_path)
    return customer


def retrieve_customer(context: RequestContext, customer_id: str) -> Json:
    """A customer, or the `deleted` object of a deleted one."""
    return context.get("customer", customer_id)


def update_customer(context: RequestContext, customer_id: str) -> Json:
    """Change a customer."""
    customer, params = get_customer(context, customer_id), context.params
    if "metadata" in params:
        params["metadata"] = merge_metadata(customer["metadata"], params["metadata"])
    if "invoice_settings" in params:
        params["invoice_settings"] = {**customer["invoice_settings"], **params["invoice_settings"]}
    customer.update({k: v for k, v in params.items() if k not in ("expand", "payment_method")})
    context.save(customer)
    context.emit("customer.updated", customer)
    return customer


def delete_customer(context: RequestContext, customer_id: str) -> Json:
    """Delete a customer and detach the payment methods."""
    customer = get_customer(context, customer_id)
    for method in context.find_all("payment_method", "customer", customer["id"]):
        context.save(method)["customer"] = None
    context.emit("customer.deleted", customer)
    tombstone = {"id": customer["id"], "object": "customer", "deleted": True}
    customer.clear()
    customer.update(tombstone)
    return context.save(customer)


def list_customers(context: RequestContext) -> Json:
    """Customers, newest first."""
    return context.page("customer", "/v1/customers", email=context.params.get("email"))


def attach(context: RequestContext, method_id: str) -> Json:
    """Attach a payment method to a customer. Raises card errors for refused cards."""
    if not context.params.get("customer"):
        raise missing("customer")
    customer = get_customer(context, context.params["customer"], in_path=False)
    method = payment_methods.get_or_create_method(context, method_id, in_path=True)
    payment_methods.attach_to_customer(context, method, customer["id"])
    context.emit("payment_method.attached", method)
    return method


def list_methods(context: RequestContext) -> Json:
    """A customer's payment methods, newest first."""
    customer_id = context.params.get("customer")
    if not customer_id:
        raise missing("customer")
    return list_methods_of_customer(context, customer_id, "/v1/payment_methods")


def list_methods_of_customer(context: RequestContext, customer_id: str, url: str = "") -> Json:
    """The payment methods of the customer in the path."""
    get_customer(context, customer_id, in_path=not url)
    url = url or f"/v1/customers/{customer_id}/payment_methods"
    return context.page(
        "payment_method", url, customer=customer_id, type=context.params.get("type")
    )
