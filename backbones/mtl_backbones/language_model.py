"""A stacked LSTM that reads words and predicts the next ones."""

from jaxtyping import Float, Int64
from torch import Tensor, nn

from mtl_framework import MtlError, Recurrent


class LstmLanguageModel(Recurrent):
    """Embedding, stacked LSTM, decoder with the embedding's weights; keeps its state between calls.

    Takes words (B, positions), int64, and returns scores (B, positions, num_classes) of the words
    that follow. Dropout acts on the embedded words, between layers, and before the decoder. With
    two layers of 256 the LSTM's matrices have 4096 blocks of 16x16.

    Source: Meyerson and Miikkulainen, "Modular Universal Reparameterization", NeurIPS 2019; tied
    weights by Inan et al. 2017 and Press and Wolf 2017.

    Args:
        num_classes: words of the vocabulary.
        in_chans: positions of an input; any number works.
        img_size: ``None``: inputs are no images.
        width: width of embedding and layers.
        layers: number of layers of the LSTM.
        dropout: probability, 0 to less than 1.

    Raises:
        MtlError: if the inputs are images.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        img_size: tuple[int, int] | None = None,
        width: int = 256,
        layers: int = 2,
        dropout: float = 0.2,
    ) -> None:
        if img_size is not None:
            raise MtlError("backbone 'lstm_language_model' needs words (N, positions), not images")
        super().__init__()
        self.embedding = nn.Embedding(num_classes, width)
        self.lstm = nn.LSTM(
            width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(width, num_classes)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        self.decoder.weight = self.embedding.weight

    def forward(
        self, words: Int64[Tensor, "rows positions"]
    ) -> Float[Tensor, "rows positions vocabulary"]:
        """Scores of the word that follows each position."""
        embedded = self.dropout(self.embedding(words))
        hidden, state = self.lstm(embedded, self.carried(len(words)))
        self.keep(state)
        scores: Tensor = self.decoder(self.dropout(hidden))
        return scores

    def get_classifier(self) -> nn.Linear:
        """Give the last layer."""
        return self.decoder
