"""Reports: tables, figures and one page, built from records alone."""

from assignbench.report.page import build_report, publish_report, write_report

__all__ = ["build_report", "publish_report", "write_report"]
