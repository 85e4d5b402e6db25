/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_kserve.c - the KServe v2 protocol over HTTP: Triton, TGI. The names of a model's outputs are its own: all
 * strings and bytes of an output are one text. */
#include "stream/field.h"

static const struct field parameters[] = { VALUE("binary_data_size", TAP_SIZE), {} };

static const struct field output[] = {
	LABEL("name"),
	LABEL("datatype"),
	PLAIN("shape"),
	TEXT("data", CHANNEL_CONTENT),
	BELOW("parameters", parameters),
	{},
};

static const struct field infer[] = {
	TAPPED("model_name", TAP_MODEL),
	LABEL("model_version"),
	TAPPED("id", TAP_ID),
	ITEMS("outputs", ITEMS_CHOICES_PLACED, output),
	{},
};

static const struct field generate[] = {
	TAPPED("model_name", TAP_MODEL),      LABEL("model_version"), TAPPED("id", TAP_ID),
	TEXT("text_output", CHANNEL_CONTENT), IDS("output_ids"),      {},
};

const struct dialect kserve_dialects[] = {
	{ "triton.generate", METHOD_POST, "/v2/models/*/generate", ENDING_TRITON, false, NULL, generate, generate },
	{ "triton.generate", METHOD_POST, "/v2/models/*/generate_stream", ENDING_TRITON, false, NULL, generate,
	  generate },
	{ "triton.generate", METHOD_POST, "/v2/models/*/versions/*/generate", ENDING_TRITON, false, NULL, generate,
	  generate },
	{ "triton.generate", METHOD_POST, "/v2/models/*/versions/*/generate_stream", ENDING_TRITON, false, NULL,
	  generate, generate },
	{ "kserve.infer", METHOD_POST, "/v2/models/*/infer", ENDING_TRITON, false, NULL, infer, infer },
	{ "kserve.infer", METHOD_POST, "/v2/models/*/versions/*/infer", ENDING_TRITON, false, NULL, infer, infer },
	{},
};
